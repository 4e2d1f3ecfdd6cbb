"""Models in forms for other programs: one whole model in safetensors, OpenVINO, ONNX, GGUF; each checked when made."""
