from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from judges.toys import CLASSES, pictures, saved_classifier
from PIL import Image
from transformers import ResNetForImageClassification, ResNetModel

from turpentine.core.errors import ModelNotFound, UnknownName
from turpentine.judges.classifier import IMAGENETTE, ImageClassifier

LABELS = ("Chainsaw", "church")


def plain_probabilities(folder: str, image: Image.Image) -> list[float]:
    """The shorter side to 36 px, 32 from the middle, values from −1 to 1, the network, softmax."""
    short = min(image.size)
    size = tuple(int(side * 36 / short) for side in image.size)
    larger = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - 32) // 2, (size[1] - 32) // 2
    pixels = np.asarray(larger.crop((left, top, left + 32, top + 32)), dtype=np.float64) / 255
    network = ResNetForImageClassification.from_pretrained(folder).eval()
    x = torch.tensor((pixels - 0.5) / 0.5, dtype=torch.float32).permute(2, 0, 1)[None]
    with torch.no_grad():
        logits = network(x).logits[0].double().tolist()
    raised = [np.exp(logit) for logit in logits]
    return [value / sum(raised) for value in raised]


@pytest.mark.parametrize(("width", "height"), [(32, 32), (50, 40), (48, 96)])
def test_the_answer_is_the_most_likely_of_all_classes(classifier: str, width: int, height: int) -> None:
    shown = pictures(4, width, height)
    rows = ImageClassifier(classifier, LABELS)(shown)
    called = ["church", "Chainsaw", "crane"]  # of labels as they are there, of others by their first name
    for image, row in zip(shown, rows.iter_rows(named=True), strict=True):
        p = plain_probabilities(classifier, image)
        first, second, _ = sorted(range(3), key=lambda index: -p[index])
        assert (row["class"], row["class_second"]) == (called[first], called[second])
        assert row["class_p"] == pytest.approx(p[first], abs=1e-4)


def test_its_answers_are_not_all_one(classifier: str) -> None:
    assert ImageClassifier(classifier, LABELS)(pictures(40))["class"].n_unique() > 1


def test_more_pictures_than_a_batch_and_other_modes_are_judged_as_each_alone(classifier: str) -> None:
    judge, shown = ImageClassifier(classifier, ()), [*pictures(34), pictures(1)[0].convert("L")]
    alone = [judge([image]).row(0) for image in shown]
    rows = judge(shown)
    assert rows["class"].to_list() == [row[0] for row in alone]
    assert rows["class_p"].to_list() == pytest.approx([row[1] for row in alone], abs=1e-5)


def test_without_labels_classes_have_their_own_names(classifier: str) -> None:
    own = {names.split(",")[0] for names in CLASSES}
    assert set(ImageClassifier(classifier, ())(pictures(9))["class"]) <= own


def test_a_label_that_the_network_does_not_know_is_an_error(classifier: str) -> None:
    with pytest.raises(UnknownName, match=r"no class 'chain sew': did you mean 'chain saw'"):
        ImageClassifier(classifier, ["chain sew"])(pictures(1))
    with pytest.raises(UnknownName, match="cassette player"):
        ImageClassifier(classifier)(pictures(1))
    assert len(IMAGENETTE) == 10 and all(name == name.lower() for name in IMAGENETTE)


def test_other_weights_are_another_judge_and_other_pixels_other_settings(classifier: str, tmp_path: Path) -> None:
    one = ImageClassifier(classifier, LABELS)
    other = ImageClassifier(saved_classifier(tmp_path, seed=1), LABELS)
    assert one.revision != other.revision
    whole = ImageClassifier(classifier, LABELS, preprocessing={"crop_pct": 1.0})
    assert one.revision == whole.revision and one.settings != whole.settings
    assert one(pictures(1))["class_p"].item() != whole(pictures(1))["class_p"].item()


def test_a_network_that_is_not_all_there_is_refused(classifier: str, tmp_path: Path) -> None:
    ResNetModel.from_pretrained(classifier).save_pretrained(tmp_path)
    shutil.copy(Path(classifier) / "preprocessor_config.json", tmp_path)
    with pytest.raises(ModelNotFound, match=r"holds no weight 'classifier"):
        ImageClassifier(str(tmp_path))(pictures(1))


def test_no_pickle_is_read(classifier: str, tmp_path: Path) -> None:
    shutil.copytree(classifier, tmp_path, dirs_exist_ok=True)
    weights = ResNetForImageClassification.from_pretrained(classifier).state_dict()
    (tmp_path / "model.safetensors").unlink()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelNotFound, match="safetensors"):
        ImageClassifier(str(tmp_path))(pictures(1))


def test_a_network_that_is_nowhere_is_one_clear_sentence() -> None:
    with pytest.raises(
        ModelNotFound, match="'someone/network' of the hub cannot be read: the Hugging Face hub cannot be reached"
    ):
        ImageClassifier("someone/network")(pictures(1))


def test_classes_with_other_names_are_another_judge(classifier: str, tmp_path: Path) -> None:
    shutil.copytree(classifier, tmp_path / "other")
    path = tmp_path / "other" / "config.json"
    path.write_text(path.read_text().replace("crane", "cockerel"))
    assert ImageClassifier(str(tmp_path / "other"), ()).revision != ImageClassifier(classifier, ()).revision
