"""The toys of `turpentine.testing` under the name by which these tests know them."""

from turpentine.testing.toys import LENGTH, WORDS, tiny_sd1, tiny_sd2_v, tiny_sdxl, tiny_tokenizer

__all__ = ["LENGTH", "WORDS", "tiny_sd1", "tiny_sd2_v", "tiny_sdxl", "tiny_tokenizer"]
