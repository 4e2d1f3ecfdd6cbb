"""Files to a model in memory: the only place that calls `from_pretrained`, after every check that needs no loading.

Loaded models are kept for the process; a second user of the same model waits for the first and shares it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.adapted import put_together
from models.device import DeviceChoice, available_memory_bytes, choose_device
from models.encoder_files import encoder_folder
from models.errors import BrokenModel, DoesNotFit
from models.files import Weights, cache_bytes_per_token, context_tokens, read_config, read_json, read_weights
from models.manifest import read_manifest
from models.memory import kept, make_room
from models.templates import BY_NAME
from models.transformers_calls import alone, as_broken, gguf_progress, quiet

if TYPE_CHECKING:
    from langchain_huggingface import HuggingFaceEmbeddings

    from models.engines.torch import TorchEngine

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_EMBEDDINGS = ("embed_tokens.weight", "word_embeddings.weight", "wte.weight", "embed_in.weight")
_WORKING_BYTES = 150 * 1024**2  # the libraries' own buffers
_ACTIVATIONS = 20  # bytes for each number of the hidden state while a layer computes
_PLANNED_CONTEXT = 8192  # tokens of attention cache counted before loading; longer windows fill only when used


@dataclass(frozen=True)
class ChatForm:
    """What an answer needs to know of a causal language model beside the engine that writes it.

    `window` is its context in tokens, prompt and answer together; `stop_token_ids` end an answer; `vocabulary` is the
    number of its logits.
    """

    tokenizer: Any
    folder: Path
    window: int
    stop_token_ids: tuple[int, ...]
    vocabulary: int


@dataclass(frozen=True)
class LoadedChat(ChatForm):
    """A causal language model ready to generate on torch.

    Where the engine answers with an `adapter`, that is its folder, and `base` is held so that it stays as long.
    """

    model: Any
    engine: TorchEngine
    choice: DeviceChoice
    adapter: Path | None = None
    base: LoadedChat | None = None


@dataclass(frozen=True)
class LoadedTask:
    """A model for one task, such as a classifier or translator, with its tokenizer."""

    model: Any
    tokenizer: Any
    folder: Path
    choice: DeviceChoice


def load_chat(folder: Path, *, name: str, chat_template: str | None = None) -> LoadedChat:
    """The model of a folder, loaded once a process.

    Raises:
        ModelNotFound, UnsafeModel, BrokenModel: the files are missing, unsafe or do not belong together.
        DoesNotFit: more memory is needed than is free.
    """
    loaded: LoadedChat = kept(("chat", folder, chat_template), lambda: _load_chat(folder, name, chat_template))
    return loaded


def chat_form(folder: Path, *, chat_template: str | None = None) -> ChatForm:
    """A model's form, read from its small files; no weights are loaded.

    Raises:
        ModelNotFound, UnsafeModel, BrokenModel: the files are missing, unsafe or broken.
    """
    config = read_config(folder)
    window = context_tokens(folder, config)  # before the libraries look: the tokenizer's class reads the config, too
    tokenizer = load_tokenizer(folder, chat_template=chat_template)
    vocabulary = (config.get("text_config") or config).get("vocab_size") or len(tokenizer)
    return ChatForm(tokenizer, folder, window, _stops(folder, config, tokenizer), vocabulary)


def load_task(
    folder: Path, *, name: str, auto_class: str, base: Path | None = None, home: Path | None = None
) -> LoadedTask:
    """The model of a folder as the named transformers class (`AutoModelFor...`), loaded once a process.

    `base` is the folder of the base where the model's own holds an adapter, which stands on the base's converted form
    where that is ready in `home`.

    Raises:
        ModelNotFound, UnsafeModel, BrokenModel, DoesNotFit: as for `load_chat`.
    """
    loaded: LoadedTask = kept(("task", folder, auto_class), lambda: _load_task(folder, name, auto_class, base, home))
    return loaded


def load_part(folder: Path, *, name: str, model_class: str, fast: bool) -> Any:
    """A model alone, as any transformers class, loaded once a process; its processors come from `load_processor`.

    Args:
        folder: The model's files.
        name: How a message calls the model.
        model_class: A model class or auto class of transformers.
        fast: Use the machine's fast number format and count the attention cache; otherwise float32 and none, for models
            that read pictures or sound once.

    Raises:
        ModelNotFound, UnsafeModel, BrokenModel, DoesNotFit: as for `load_chat`.
        MissingPackage: the model is built on a package that is not installed.
    """

    def load() -> Any:
        config, weights = read_config(folder), read_weights(folder)
        choice = choose_device() if fast else replace(choose_device(), dtype="float32")
        _settle(name, weights, config if fast else {}, choice)
        return _load_model(folder, model_class, choice)

    return kept(("part", folder, model_class), load)


def empty_model(folder: Path, model_class: str) -> Any:
    """A model of the folder's config without memory for its weights, for looking at its parts.

    Raises:
        ModelNotFound, UnsafeModel, BrokenModel: the config is missing, unsafe or does not describe such a model.
        MissingPackage: the model is built on a package that is not installed.
    """
    import torch
    import transformers

    read_config(folder)
    made = getattr(transformers, model_class)
    with alone, quiet(), as_broken(folder), torch.device("meta"):
        model = made(made.config_class.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False))
        model.tie_weights()
    return model


def load_processor(folder: Path, processor_class: str) -> Any:
    """What prepares a model's inputs, as the named auto class (`AutoImageProcessor` ...), loaded once a process.

    Raises:
        ModelNotFound, UnsafeModel, BrokenModel: its files are missing, unsafe or broken.
        MissingPackage: it is built on a package that is not installed.
    """

    def load() -> Any:
        import transformers

        read_config(folder)
        with quiet(), as_broken(folder):
            return getattr(transformers, processor_class).from_pretrained(
                str(folder), trust_remote_code=False, local_files_only=True
            )

    return kept(("processor", folder, processor_class), load)


def load_tokenizer(folder: Path, *, chat_template: str | None = None) -> Any:
    """The tokenizer alone, loaded once a process and shared with the model."""
    return kept(("tokenizer", folder, chat_template), lambda: _load_tokenizer(folder, chat_template))


def load_embeddings(folder: Path, *, name: str, batch_size: int, exact: bool = False) -> HuggingFaceEmbeddings:
    """The sentence encoder of a folder, loaded once a process; `exact` computes in float32 on the CPU, as a reference.

    Raises:
        ModelNotFound, UnsafeModel, BrokenModel, DoesNotFit: as for `load_chat`.
    """
    loaded: HuggingFaceEmbeddings = kept(
        ("embed", folder, batch_size, exact), lambda: _load_embeddings(folder, name, batch_size, exact)
    )
    return loaded


def convert_gguf(
    gguf: Path, target: Path, *, chat_template: str | None, on_fraction: Callable[[float], None] = lambda fraction: None
) -> None:
    """Writes a GGUF file's model and tokenizer into `target` as bfloat16 safetensors; `on_fraction` is told 0 to 1.

    Raises:
        BrokenModel: the file cannot be read, lacks weights, or holds NaN or infinity.
    """
    import torch

    model, tokenizer = load_gguf(gguf, torch.bfloat16, on_fraction)
    if chat_template:
        tokenizer.chat_template = BY_NAME[chat_template]
    with quiet():
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)


def load_gguf(gguf: Path, dtype: Any, on_fraction: Callable[[float], None] = lambda fraction: None) -> tuple[Any, Any]:
    """A GGUF file's chat model, dequantised, and its tokenizer; `on_fraction` is told 0 to 1.

    Raises:
        BrokenModel: the file cannot be read, lacks weights, or holds NaN or infinity.
    """
    import transformers

    with alone, quiet(), gguf_progress(on_fraction), as_broken(gguf):
        # without dequantize=True the model counts as quantised and can neither be saved nor trained
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
            str(gguf.parent),
            gguf_file=gguf.name,
            dtype=dtype,
            quantization_config=transformers.GgufConfig(dequantize=True),
            output_loading_info=True,
        )
        model, report = loaded
        _refuse_missing(gguf, report["missing_keys"])
        _refuse_nan(gguf, model)
        return model, transformers.AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)


def preflight(name: str, weights: Weights, config: dict[str, Any], choice: DeviceChoice) -> int:
    """Bytes that loading will take: weights in the chosen format, attention cache and working memory.

    Idle models are let go for it where that much is not free.

    Raises:
        DoesNotFit: more than is free now.
    """
    context = min(_PLANNED_CONTEXT, int(config.get("max_position_embeddings") or _PLANNED_CONTEXT))
    needed = weights.parameters * _BYTES[choice.dtype] + cache_bytes_per_token(config) * context
    needed += _prompt_bytes(config, context) + _WORKING_BYTES
    available = make_room(needed, _free_gpu_bytes if choice.device == "cuda" else available_memory_bytes)
    if needed > available:
        raise DoesNotFit(name, needed, available)
    return needed


def _prompt_bytes(config: dict[str, Any], context: int) -> int:
    """What reading a prompt of so many tokens takes at once: its attention mask and a layer's activations.

    Without it the peak at 8,000 tokens of SmolLM2 is a sixth above the estimate; with it, six models of 23 to 309
    million parameters stay within 13 %, libraries counted (VmHWM on Linux, the context filled).
    """
    hidden = config.get("hidden_size")
    return 2 * context**2 + _ACTIVATIONS * context * (hidden if isinstance(hidden, int) else 0)


def _load_chat(folder: Path, name: str, chat_template: str | None) -> LoadedChat:
    from models.engines.torch import TorchEngine

    weights, form = read_weights(folder), chat_form(folder, chat_template=chat_template)
    choice = _settle(name, weights, read_config(folder))
    _check_vocabulary(folder, form.tokenizer, weights)
    model = _load_model(folder, "AutoModelForCausalLM", choice)
    _try_out(folder, model)
    return LoadedChat(**vars(form), model=model, engine=TorchEngine(model), choice=choice)


def _load_task(folder: Path, name: str, auto_class: str, base: Path | None, home: Path | None) -> LoadedTask:
    files = base or folder
    config, weights = read_config(files), read_weights(files)
    choice = _settle(name, weights, config)
    tokenizer = load_tokenizer(files)
    _check_vocabulary(files, tokenizer, weights)
    if base is not None:
        if home is not None and choice.device == "cpu":
            from models.engines.adapted_encoder import adapted_encoder

            if (converted := adapted_encoder(folder, base, auto_class, home)) is not None:
                return LoadedTask(converted, tokenizer, folder, choice)
        model = put_together(folder, base, auto_class, choice.torch_dtype)
        _refuse_nan(folder, model)
        return LoadedTask(model.to(choice.device).eval(), tokenizer, folder, choice)
    return LoadedTask(_load_model(folder, auto_class, choice), tokenizer, folder, choice)


def model_from_files(folder: Path, auto_class: str, dtype: Any, **changes: Any) -> tuple[Any, list[str]]:
    """The model of a folder as the named transformers class, and the names of weights that its files do not have.

    `changes` go into its configuration, or are `config` itself.

    Raises:
        BrokenModel: transformers cannot make the model of these files.
    """
    import transformers

    with alone, quiet(), as_broken(folder):
        model, report = getattr(transformers, auto_class).from_pretrained(
            str(folder),
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **changes,
        )
    return model, sorted(report["missing_keys"])


def _load_model(folder: Path, auto_class: str, choice: DeviceChoice) -> Any:
    model, absent = model_from_files(folder, auto_class, choice.torch_dtype)
    # transformers fills absent weights with random numbers and only warns; a pooler is read by no task without a head
    missing = [key for key in absent if auto_class != "AutoModel" or not key.startswith("pooler.")]
    _refuse_missing(folder, missing)
    _check_numbers(folder, model)
    return model.to(choice.device).eval()


def _refuse_missing(path: Path, keys: Iterable[str]) -> None:
    missing = sorted(keys)
    if missing:
        raise BrokenModel(path, f"{len(missing)} of the model's weights are not in it, first {missing[0]}")


def _stops(folder: Path, config: dict[str, Any], tokenizer: Any) -> tuple[int, ...]:
    """The ids that end an answer: those of generation_config.json, or of config.json where there is none."""
    named = (read_json(folder / "generation_config.json") or config).get("eos_token_id")
    ids = list(named) if isinstance(named, (list, tuple)) else [named]
    return tuple(sorted({token for token in (*ids, tokenizer.eos_token_id) if token is not None}))


def _load_tokenizer(folder: Path, chat_template: str | None) -> Any:
    import transformers

    read_config(folder)
    with quiet(), as_broken(folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=True
        )
    if chat_template:
        tokenizer.chat_template = BY_NAME[chat_template]
    return tokenizer


def _load_embeddings(folder: Path, name: str, batch_size: int, exact: bool) -> HuggingFaceEmbeddings:
    from langchain_huggingface import HuggingFaceEmbeddings

    encoder = encoder_folder(folder)
    config, weights = read_config(encoder), read_weights(encoder)
    choice = _settle(name, weights, config, replace(choose_device(), device="cpu", dtype="float32") if exact else None)
    prompts = read_json(folder / "config_sentence_transformers.json").get("prompts") or {}
    common = {"normalize_embeddings": True, "batch_size": batch_size}
    with alone, quiet(), as_broken(folder):
        loaded = HuggingFaceEmbeddings(
            model_name=str(folder),
            model_kwargs={
                "device": choice.device,
                "local_files_only": True,
                "trust_remote_code": False,
                "model_kwargs": {"dtype": choice.torch_dtype, "use_safetensors": True},
            },
            encode_kwargs=common | ({"prompt_name": "document"} if "document" in prompts else {}),
            query_encode_kwargs=common | ({"prompt_name": "query"} if "query" in prompts else {}),
        )
    # pooled and normalised in float32: costs nothing, and vectors of bfloat16 would be up to 0.4 % too long or short
    loaded._client[0].register_forward_hook(_in_float32)
    _check_vocabulary(folder, loaded._client.tokenizer, weights)
    _check_numbers(encoder, loaded._client)
    return loaded


def _in_float32(module: Any, inputs: Any, features: dict[str, Any]) -> dict[str, Any]:
    return features | {"token_embeddings": features["token_embeddings"].float()}


def _settle(name: str, weights: Weights, config: dict[str, Any], choice: DeviceChoice | None = None) -> DeviceChoice:
    import torch

    choice = choice or choose_device()
    preflight(name, weights, config, choice)
    if torch.get_num_threads() != choice.threads:
        torch.set_num_threads(choice.threads)
    return choice


def _check_vocabulary(folder: Path, tokenizer: Any, weights: Weights) -> None:
    embedding = next((shape for key, shape in weights.shapes.items() if key.endswith(_EMBEDDINGS)), None)
    if embedding and len(tokenizer) > embedding[0]:
        raise BrokenModel(
            folder,
            f"its tokenizer knows {len(tokenizer)} tokens and its weights {embedding[0]}, so they belong to two models",
        )


def _check_numbers(folder: Path, model: Any) -> None:
    if read_manifest(folder) is None:  # what Hearth prepared was looked through then
        _refuse_nan(folder, model)


def _try_out(folder: Path, model: Any) -> None:
    """Refuses a model whose settings make nonsense of sound weights, such as a rotation with a base below 0."""
    import torch

    with as_broken(folder), torch.inference_mode():
        ids = torch.tensor([[0, 1, 2, 3]], device=model.device) % model.config.get_text_config().vocab_size
        sound = bool(torch.isfinite(model(ids).logits).all())
    # attention kernels may hide what such numbers do; buffers are made from the settings when loading
    if not sound or any(bool(torch.isnan(buffer).any()) for buffer in model.buffers()):
        raise BrokenModel(folder, "it computes NaN or infinity, so a number in config.json is not what it should be")


def _refuse_nan(folder: Path, model: Any) -> None:
    import torch

    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise BrokenModel(folder, f"the weights {name} hold NaN or infinity")


def _free_gpu_bytes() -> int:
    import torch

    return int(torch.cuda.mem_get_info()[0])
