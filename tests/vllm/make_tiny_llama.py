"""Write a tiny random-weight Llama as a hub-style folder, for tests against a live server.

    python make_tiny_llama.py DIR [--seed N]

The folder needs no network to load. Two runs with one seed write the same bytes.
"""

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

# Installed where the server is, not where the tests are.
np: Any = importlib.import_module("numpy")
safetensors: Any = importlib.import_module("safetensors.numpy")
tokenizers: Any = importlib.import_module("tokenizers")

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
PLAIN_ADDED_TOKENS = ("<think>", "</think>")
SENTENCES = (
    "You are a helpful assistant.",
    "The quick brown fox jumps over the lazy dog.",
    "What is the capital of France? The capital of France is Paris.",
    "system user assistant system user assistant",
    "Let me think about this step by step.\n\nThe answer is 42.\n",
)
HIDDEN, LAYERS, HEADS, KV_HEADS, INTERMEDIATE = 64, 2, 4, 2, 128
HEAD_DIM = 32  # vLLM on a CPU serves head sizes that are multiples of 32 only
CONTEXT = 4096

# The assistant's turn is written as it stands: continue_final_message relies on it.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}"
    "{{- '<|im_start|>assistant\\n' -}}"
    "{%- if enable_thinking is defined and enable_thinking is false -%}"
    "{{- '<think>\\n\\n</think>\\n\\n' -}}"
    "{%- endif -%}"
    "{%- endif -%}"
)


def build_tokenizer() -> Any:
    """Byte-level BPE in which each digit is a token of its own."""
    pre_tokenizers, added = tokenizers.pre_tokenizers, tokenizers.AddedToken
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(r"\d| ?\p{L}+| ?[^\s\p{L}\d]+|\s+"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        min_frequency=1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_special_tokens([added(t, special=True) for t in SPECIAL_TOKENS])
    tokenizer.add_tokens([added(t, normalized=False) for t in PLAIN_ADDED_TOKENS])
    return tokenizer


def build_weights(vocab_size: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)

    def matrix(rows: int, columns: int, scale: float = 0.1) -> Any:
        return (rng.standard_normal((rows, columns)) * scale).astype(np.float32)

    ones = np.ones(HIDDEN, dtype=np.float32)
    weights = {"model.embed_tokens.weight": matrix(vocab_size, HIDDEN, 1.0)}
    for i in range(LAYERS):
        layer = f"model.layers.{i}."
        weights |= {
            layer + "input_layernorm.weight": ones.copy(),
            layer + "self_attn.q_proj.weight": matrix(HEADS * HEAD_DIM, HIDDEN),
            layer + "self_attn.k_proj.weight": matrix(KV_HEADS * HEAD_DIM, HIDDEN),
            layer + "self_attn.v_proj.weight": matrix(KV_HEADS * HEAD_DIM, HIDDEN),
            layer + "self_attn.o_proj.weight": matrix(HIDDEN, HEADS * HEAD_DIM),
            layer + "post_attention_layernorm.weight": ones.copy(),
            layer + "mlp.gate_proj.weight": matrix(INTERMEDIATE, HIDDEN),
            layer + "mlp.up_proj.weight": matrix(INTERMEDIATE, HIDDEN),
            layer + "mlp.down_proj.weight": matrix(HIDDEN, INTERMEDIATE),
        }
    weights["model.norm.weight"] = ones.copy()
    # Logits of about +-2.5; zero for the added tokens, so that greedy text rarely ends by itself.
    weights["lm_head.weight"] = matrix(vocab_size, HIDDEN, 0.3)
    weights["lm_head.weight"][-len(SPECIAL_TOKENS + PLAIN_ADDED_TOKENS) :] = 0.0
    return weights


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_model(folder: Path, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    vocab_size = tokenizer.get_vocab_size()
    eos, pad = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")

    tokenizer.save(str(folder / "tokenizer.json"))
    safetensors.save_file(
        build_weights(vocab_size, seed), folder / "model.safetensors", metadata={"format": "pt"}
    )
    write_json(
        folder / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": vocab_size,
            "hidden_size": HIDDEN,
            "intermediate_size": INTERMEDIATE,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "head_dim": HEAD_DIM,
            "hidden_act": "silu",
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": False,
            "torch_dtype": "float32",
            "bos_token_id": None,
            "eos_token_id": eos,
            "pad_token_id": pad,
        },
    )
    write_json(folder / "generation_config.json", {"eos_token_id": eos, "pad_token_id": pad})
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": None,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
            "clean_up_tokenization_spaces": False,
            "model_max_length": CONTEXT,
            "chat_template": CHAT_TEMPLATE,
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_model(arguments.folder, arguments.seed)


if __name__ == "__main__":
    main()
