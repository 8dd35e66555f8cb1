"""Which versions are locked: every package that is asked for, and the oldest of each where it is said to work."""

import re
import tomllib

import pytest

from tests import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OWN = PROJECT["dependencies"]
EXTRAS = [one for group in PROJECT["optional-dependencies"].values() for one in group]


def name_of(text):
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", text)[0]).lower()


def locked(path):
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {name_of(name): version for name, version in pairs}


def numbers(version):
    return [int(part) for part in re.findall(r"\d+", version)]


def at_least(version, floor):
    return numbers(version)[: len(numbers(floor))] >= numbers(floor)


@pytest.mark.parametrize("path", ["constraints.txt", ".ci/oldest.txt"])
def test_every_package_has_one_version(path):
    versions = locked(path)
    assert not {name_of(one) for one in OWN + EXTRAS} - versions.keys()
    assert len(versions) > 90  # with what they take themselves


@pytest.mark.parametrize("requirement", OWN)
def test_the_oldest_that_is_said_to_work_is_the_one_that_is_tested(requirement):
    floor = requirement.split(">=")[1]
    tested = locked(".ci/oldest.txt")[name_of(requirement)]
    assert numbers(tested)[: len(numbers(floor))] == numbers(floor)
    assert at_least(locked("constraints.txt")[name_of(requirement)], floor)


def test_torch_is_the_same_everywhere():
    """Another wheel than the CPU build that is locked would bring gigabytes, so its floor is the only version that is tried."""
    assert len({locked(path)["torch"] for path in ("constraints.txt", ".ci/oldest.txt", ".ci/newest.txt")}) == 1
