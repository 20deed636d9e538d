"""Keywords of ``from_pretrained``: those of the hub, and those without effect here."""

from __future__ import annotations

from typing import Any

# Passed to `napari_sam.checkpoints.resolve.find_model`.
_HUB = (
    "revision",
    "cache_dir",
    "local_files_only",
    "token",
    "subfolder",
)
# Accepted as in transformers. They choose between ways to the same result, or loaders
# that do not exist here: nothing is pickled, and all weights fit.
_WITHOUT_EFFECT = frozenset(
    {
        "_commit_hash",
        "_from_auto",
        "_from_pipeline",
        "adapter_kwargs",
        "adapter_name",
        "allow_all_kernels",
        "attn_implementation",
        "backend",
        "commit_hash",
        "device_mesh",
        "distributed_config",
        "experts_implementation",
        "force_download",
        "from_flax",
        "from_tf",
        "generation_config",
        "kernel_config",
        "key_mapping",
        "low_cpu_mem_usage",
        "max_memory",
        "mirror",
        "offload_buffers",
        "offload_folder",
        "offload_state_dict",
        "proxies",
        "resume_download",
        "tp_plan",
        "tp_size",
        "tqdm_class",
        "trust_remote_code",
        "use_fast",
        "use_kernels",
        "use_safetensors",
        "user_agent",
        "weights_only",
    }
)
_REFUSED = {
    "quantization_config": "weights are not quantized here",
    "load_in_8bit": "weights are not quantized here",
    "load_in_4bit": "weights are not quantized here",
    "gguf_file": "GGUF files are not read",
}


def split_hub_options(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the keywords of ``from_pretrained``.

    Returns
    -------
    hub : dict
        For `napari_sam.checkpoints.resolve.find_model`.
    others : dict
        All that is left; what has no effect here is gone.

    Raises
    ------
    ValueError
        When an option would change the result and is not supported.
    """
    for name, reason in _REFUSED.items():
        if options.get(name):
            raise ValueError(f"{name} is not supported: {reason}.")
    options = dict(options)
    if "use_auth_token" in options:
        options.setdefault("token", options.pop("use_auth_token"))
    hub = {name: options.pop(name) for name in _HUB if name in options}
    if hub.get("subfolder", "") is None:
        del hub["subfolder"]
    ignored = _WITHOUT_EFFECT | set(_REFUSED)
    return hub, {k: v for k, v in options.items() if k not in ignored}
