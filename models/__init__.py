"""Networks: what they are to the rest of the program, how they run, how they are trained."""

import sys

# OpenVINO reports its use to its maker over the network when it is imported, unless this package
# is missing. Nothing leaves the machine here, so it is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
