"""A user's encoder folder: it gives the vectors that transformers gives, pooled as it says, or one line of error."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.encoder.model import encoder_folder, load_encoder
from standfast.core.errors import ModelError

_TEXTS = ["white hanging heart t-light holder", "Lunch bag", "", "long " * 300]
_SMALL: dict[str, Any] = {
    "vocab_size": 30_522,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small encoders of three architectures with weights drawn at random; transformers' import takes 11 s."""
    from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, RobertaConfig, RobertaModel

    torch.manual_seed(7)
    small = {key: value for key, value in _SMALL.items() if key != "intermediate_size"}
    models = {
        "bert": BertModel(BertConfig(**_SMALL)),
        "roberta": RobertaModel(RobertaConfig(**_SMALL)),
        "distilbert": DistilBertModel(DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=32, **small)),
    }
    made = {}
    for name, model in models.items():
        made[name] = tmp_path_factory.mktemp(name)
        model.save_pretrained(made[name])
        shutil.copy(encoder_folder("bundled") / "tokenizer.json", made[name])
    return made


def _copy(folder: Path, into: Path) -> Path:
    return Path(shutil.copytree(folder, into / "encoder"))


def _pooled_by(folder: Path, mode: str, **sentence: object) -> None:
    """Writes the files that sentence-transformers adds to a transformer's folder."""
    modules = [{"path": "", "type": "a.b.Transformer"}, {"path": "1_Pooling", "type": "a.b.Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{name}": name == mode for name in ("cls_token", "mean_tokens", "max_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16, **modes}))
    (folder / "sentence_bert_config.json").write_text(json.dumps(sentence))


def _reference(folder: Path, texts: list[str], pooling: str, longest: int) -> torch.Tensor:
    """As sentence-transformers computes it: transformers' own model over one text at a time."""
    from tokenizers import Tokenizer
    from transformers import AutoModel

    tokenizer, model = Tokenizer.from_file(str(folder / "tokenizer.json")), AutoModel.from_pretrained(folder).eval()
    tokenizer.enable_truncation(longest)
    tokenizer.no_padding()
    rows = []
    for text in texts:
        with torch.inference_mode():
            states = model(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0]
        rows.append(states[0] if pooling == "cls" else states.mean(dim=0))
    return torch.nn.functional.normalize(torch.stack(rows), dim=1)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_an_encoder_pools_as_its_folder_says_and_reads_no_further_than_its_positions(
    folders: dict[str, Path], kind: str, pooling: str, tmp_path: Path
) -> None:
    folder = _copy(folders[kind], tmp_path)
    _pooled_by(folder, "cls_token" if pooling == "cls" else "mean_tokens")
    longest = 62 if kind == "roberta" else 64
    wanted = _reference(folder, _TEXTS, pooling, longest)
    assert torch.allclose(load_encoder(str(folder), "cpu", exact=True).encode(_TEXTS), wanted, atol=1e-5)


def test_a_folders_own_limit_and_lower_case_are_kept(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = _copy(folders["bert"], tmp_path)
    _pooled_by(folder, "mean_tokens", max_seq_length=8, do_lower_case=True)
    wanted = _reference(folder, [text.lower() for text in _TEXTS], "mean", 8)
    limited = load_encoder(str(folder), "cpu", exact=True)
    assert torch.allclose(limited.encode(_TEXTS), wanted, atol=1e-5)
    assert limited.digest != load_encoder(str(folders["bert"]), "cpu", exact=True).digest


def _cut_weights(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def _pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")


def _half_the_layers(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({key: value for key, value in weights.items() if "layer.1." not in key}, folder / "model.safetensors")


def _other_weights(folder: Path) -> None:
    save_file({"lora_A.weight": torch.zeros(2, 2)}, folder / "model.safetensors")


def _smaller_vocabulary(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 100}))


def _config_of(kind: str) -> Any:
    def write(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "model_type": kind, "architectures": None}))

    return write


def _written(name: str, text: str) -> Any:
    return lambda folder: (folder / name).write_text(text)


def _dense(folder: Path) -> None:
    (folder / "modules.json").write_text(
        json.dumps([{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}])
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut_weights, r"model\.safetensors cannot be loaded .*copy the encoder's folder again"),
        (_pointer, r"model\.safetensors is a Git LFS pointer.*git lfs pull"),
        (_half_the_layers, "num_hidden_layers"),
        (_other_weights, "cannot be loaded"),
        (_smaller_vocabulary, "they are of two models"),
        (_config_of("distilbert"), "weights are missing"),
        (_config_of("t5"), "cannot be loaded"),
        (_config_of("no-such-architecture"), "cannot be loaded"),
        (_written("config.json", '{"model_type": "be'), r"config\.json is cut or damaged"),
        (_written("config.json", "[]"), r"config\.json is cut or damaged"),
        (_written("tokenizer.json", '{"version"'), r"tokenizer\.json is cut or damaged"),
        (_dense, "Dense layer"),
        (lambda folder: _pooled_by(folder, "max_tokens"), "pools by max_tokens"),
    ],
)
def test_an_encoder_folder_that_is_not_whole_is_one_clear_line(
    folders: dict[str, Path], damage: Any, message: str, tmp_path: Path
) -> None:
    folder = _copy(folders["bert"], tmp_path)
    damage(folder)
    with pytest.raises(ModelError, match=message) as refused:
        load_encoder(str(folder), "cpu", exact=True)
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)
