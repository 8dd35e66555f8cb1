"""The packages that numbers may depend on, and their versions here."""

from importlib.metadata import version

PACKAGES = ("llmattr", "numpy", "scikit-learn", "torch", "transformers")


def versions() -> dict[str, str]:
    """The version of each package."""
    return {package: version(package) for package in PACKAGES}
