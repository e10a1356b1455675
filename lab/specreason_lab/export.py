"""From a trained model to what engines load: a folder in Hugging Face's form, and a GGUF file."""

import json
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from specreason_lab.model import Llama, Shape
from specreason_lab.tokenizer import CHAT_TEMPLATE, CONTROL, END, MARKS, TURN_END

# Our names, those of Hugging Face's llama, those of GGUF; {} is the block's number.
_BLOCK = {
    "attention_norm": ("input_layernorm", "attn_norm"),
    "attention.q": ("self_attn.q_proj", "attn_q"),
    "attention.k": ("self_attn.k_proj", "attn_k"),
    "attention.v": ("self_attn.v_proj", "attn_v"),
    "attention.out": ("self_attn.o_proj", "attn_output"),
    "feed_norm": ("post_attention_layernorm", "ffn_norm"),
    "gate": ("mlp.gate_proj", "ffn_gate"),
    "up": ("mlp.up_proj", "ffn_up"),
    "down": ("mlp.down_proj", "ffn_down"),
}
_WHOLE = {
    "embed": ("model.embed_tokens", "token_embd"),
    "norm": ("model.norm", "output_norm"),
    "head": ("lm_head", "output"),
}


def export_hub_folder(model: Llama, tokenizer: Tokenizer, folder: Path) -> None:
    """What `transformers` and vLLM load: config, tokenizer with chat template, safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = model.shape
    weights = {hub: value.contiguous() for hub, _, value in _named(model)}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    end, pad = tokenizer.token_to_id(TURN_END), tokenizer.token_to_id(END)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.head,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-5,
        "rope_theta": shape.rope_base,
        "hidden_act": "silu",
        "tie_word_embeddings": shape.tied,
        "eos_token_id": end,
        "pad_token_id": pad,
        "torch_dtype": "float32",
    }
    _write(folder / "config.json", config)
    _write(folder / "generation_config.json", {"eos_token_id": [end, pad], "pad_token_id": pad})
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": TURN_END,
            "pad_token": END,
            "model_max_length": shape.context,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
    )


def export_gguf(model: Llama, tokenizer: Tokenizer, path: Path, name: str) -> None:
    """What llama.cpp loads, in 32-bit floats."""
    shape = model.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_license("apache-2.0")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _write_tokenizer(writer, tokenizer)
    for _, name_there, value in _named(model):
        array = value.numpy()
        if _turned(name_there):
            array = _interleaved(array, shape.heads)
        writer.add_tensor(name_there + ".weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_gguf(path: Path) -> Llama:
    """The model in a file that `export_gguf` wrote."""
    reader = gguf.GGUFReader(path)

    def number(key: str) -> int:
        return int(reader.get_field(f"llama.{key}").contents())

    shape = Shape(
        layers=number("block_count"),
        width=number("embedding_length"),
        hidden=number("feed_forward_length"),
        vocabulary=number("vocab_size"),
        head=number("embedding_length") // number("attention.head_count"),
        context=number("context_length"),
        tied=all(tensor.name != "output.weight" for tensor in reader.tensors),
    )
    tensors = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    model = Llama(shape)
    values: dict[str, Tensor] = {}
    for ours, (_, there, value) in zip(model.state_dict(), _named(model), strict=True):
        array = tensors[f"{there}.weight"].reshape(tuple(value.shape))
        values[ours] = torch.from_numpy(_halves(array, shape.heads) if _turned(there) else array)
    model.load_state_dict(values)
    return model.eval()


def _write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    described = json.loads(tokenizer.to_str())["model"]
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    kinds = [
        gguf.TokenType.CONTROL
        if token in CONTROL
        else gguf.TokenType.USER_DEFINED
        if token in MARKS
        else gguf.TokenType.NORMAL
        for token in tokens
    ]
    merges = [m if isinstance(m, str) else " ".join(m) for m in described["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokenizer.token_to_id(TURN_END))
    writer.add_pad_token_id(tokenizer.token_to_id(END))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _named(model: Llama) -> list[tuple[str, str, Tensor]]:
    """Every weight: its name at Hugging Face, its name in GGUF (without suffix), its value."""
    named: list[tuple[str, str, Tensor]] = []
    for ours, value in model.state_dict().items():
        stem = ours.removesuffix(".weight")
        if stem in _WHOLE:
            hub, there = _WHOLE[stem]
        else:
            _, number, part = stem.split(".", 2)
            hub, there = _BLOCK[part]
            hub, there = f"model.layers.{number}.{hub}", f"blk.{number}.{there}"
        named.append((f"{hub}.weight", there, value.detach().to(torch.float32)))
    return named


def _interleaved(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key matrix in llama.cpp's order of rotary pairs (neighbours instead of halves)."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _halves(matrix: np.ndarray, heads: int) -> np.ndarray:
    """The inverse of `_interleaved`."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _turned(name: str) -> bool:
    """Whether rotary positions apply to what this weight makes."""
    return "attn_q" in name or "attn_k" in name


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
