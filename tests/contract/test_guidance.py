from turpentine.erase.guidance import SLD, NegativePrompt
from turpentine.testing.contracts import MethodContract


class TestSLD(MethodContract):
    def method(self) -> SLD:
        return SLD(warmup=0)


class TestNegativePrompt(MethodContract):
    def method(self) -> NegativePrompt:
        return NegativePrompt()
