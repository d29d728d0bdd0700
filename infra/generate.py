"""Generates trivium/v1 from protos/: `python -m infra.generate [FOLDER]`."""

import argparse
import sys
from pathlib import Path

PROTOS = Path("protos")


def generate(out: Path) -> list[Path]:
    """Writes the Python modules of every proto below `out` and returns them. RuntimeError when protoc refuses."""
    from grpc_tools import protoc

    sources = sorted(PROTOS.glob("trivium/v1/*.proto"))
    flags = [f"-I{PROTOS}", f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(["protoc", *flags, *map(str, sources)]):
        raise RuntimeError("protoc refused; what it said stands above")
    for empty in set(out.glob("trivium/v1/*_pb2_grpc.py")) - {out / "trivium/v1/services_pb2_grpc.py"}:
        # protoc writes one for every proto; only services.proto has services.
        empty.unlink()
    return sorted(out.glob("trivium/v1/*_pb2*"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.generate", description=__doc__,
                                     epilog="example: python -m infra.generate .")  # fmt: skip
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), help="where trivium/v1 is (default: here)")
    for path in generate(parser.parse_args().folder):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
