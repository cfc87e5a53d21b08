"""What a release is made of, built by its script."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import exporter

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from email.message import Message

    Run = Callable[..., subprocess.CompletedProcess[str]]

VERSION = exporter.__version__
WHEEL = f"vastai_exporter-{VERSION}-py3-none-any.whl"
SDIST = f"vastai_exporter-{VERSION}.tar.gz"
CHART = f"vastai-exporter-{VERSION}.tgz"
SBOM = f"vastai-exporter-{VERSION}.cdx.json"


#: Where the releases that are built here are at home.
HOME = "https://github.com/Example/exporter"
#: What chart-testing asks of a Chart.yaml.
CHART_YAML = {
    "type": "object",
    "required": ["name", "home", "version", "apiVersion", "description"],
    "additionalProperties": False,
    "properties": {
        **{name: {"type": "string"} for name in ("name", "home", "version", "apiVersion", "appVersion")},
        **{name: {"type": "string"} for name in ("description", "icon", "kubeVersion", "type")},
        **{name: {"type": "array", "items": {"type": "string"}} for name in ("keywords", "sources")},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


@pytest.fixture(scope="module")
def release(run: Run, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build a release in a folder of that name."""

    def release(name: str, home: str = "Example/exporter") -> Path:
        folder = tmp_path_factory.mktemp(name)
        environment = {"PYTHON": sys.executable, "GITHUB_REPOSITORY": home}
        done = run(root / ".ci/release", "--no-image", folder, **environment)
        assert done.returncode == 0, done.stderr
        return folder

    return release


@pytest.fixture(scope="module")
def built(release: Callable[[str], Path]) -> Path:
    """A release."""
    return release("built")


def test_it_has_everything_with_its_checksum(built: Path) -> None:
    lines = (built / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert set(sums) == {WHEEL, SDIST, CHART, SBOM}
    assert {path.name for path in built.iterdir()} == {*sums, "SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256((built / name).read_bytes()).hexdigest() == digest


def test_built_again_it_is_the_same_bytes(built: Path, release: Callable[[str], Path]) -> None:
    again = release("again")
    assert (again / "SHA256SUMS").read_text() == (built / "SHA256SUMS").read_text()


def test_the_chart_holds_rules_thresholds_and_dashboards_themselves(built: Path, root: Path) -> None:
    with tarfile.open(built / CHART) as archive:
        members = {member.name: member for member in archive.getmembers()}
        assert not any(member.issym() for member in members.values())
        files = "vastai-exporter/files"
        for name in ("rules/recording.rules.yml", "rules/alerts.rules.yml", "thresholds.yml"):
            file = archive.extractfile(members[f"{files}/{name}"])
            assert file is not None
            assert file.read() == (root / "deploy/helm/vastai-exporter/files" / name).read_bytes()
        packed = {Path(name).name for name in members if name.startswith(f"{files}/dashboards/")}
    assert packed == {path.name for path in (root / "grafana").glob("*.json")}


def test_the_packed_chart_renders_as_the_one_in_the_repository(
    built: Path, helm: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    image, rules = {"registry": "", "repository": "ours"}, {"enabled": True, "runbookBase": ""}
    values = {"demo": True, "image": image, "prometheusRule": rules, "dashboards": {"enabled": True}}
    packed, ours = helm("template", values, chart=built / CHART), helm("template", values)
    assert packed.returncode == ours.returncode == 0, packed.stderr + ours.stderr
    assert packed.stdout == ours.stdout


# Where it is at home


def member(archive: Path, name: str) -> str:
    """Return the text of a file in a chart."""
    with tarfile.open(archive) as opened:
        file = opened.extractfile(f"vastai-exporter/{name}")
        assert file is not None
        return file.read().decode()


def metadata(folder: Path) -> Message:
    """Return what the wheel says of itself."""
    with zipfile.ZipFile(folder / WHEEL) as archive:
        return message_from_bytes(archive.read(f"vastai_exporter-{VERSION}.dist-info/METADATA"))


def test_the_page_of_the_package_leads_to_the_project_and_no_link_is_relative(
    built: Path, root: Path
) -> None:
    about = metadata(built)
    urls = dict(line.split(", ") for line in about.get_all("Project-URL", []))
    assert urls.keys() == {"Homepage", "Documentation", "Changelog", "Issues", "Source"}
    assert all(url.startswith(HOME) for url in urls.values())
    targets = re.findall(r"\]\(([^)]+)\)", str(about.get_payload()))
    assert [url for url in targets if not url.startswith(("https://", "#"))] == []
    ours = [
        url.partition(f"/v{VERSION}/")[2].partition("#")[0] for url in targets if "Example/exporter" in url
    ]
    assert len(ours) > 20
    assert [name for name in ours if not (root / name).exists()] == []


def test_chart_testing_and_artifact_hub_know_the_chart(built: Path, root: Path) -> None:
    chart = yaml.safe_load(member(built / CHART, "Chart.yaml"))
    jsonschema.validate(chart, CHART_YAML)
    assert (chart["home"], chart["sources"]) == (HOME, [HOME])
    assert (root / chart["icon"].partition(f"/v{VERSION}/")[2]).read_text().startswith("<svg")
    images = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    assert images == [{"name": "vastai-exporter", "image": f"ghcr.io/example/exporter:{VERSION}"}]


def test_the_chart_takes_the_image_and_the_runbooks_of_its_release(
    built: Path, helm: Callable[..., subprocess.CompletedProcess[str]], root: Path
) -> None:
    values = {"demo": True, "prometheusRule": {"enabled": True}}
    rendered = helm("template", values, chart=built / CHART).stdout
    assert set(re.findall(r"image: (.*)", rendered)) == {f'"ghcr.io/example/exporter:{VERSION}"'}
    links = set(re.findall(r"runbook_url: (.*)", rendered))
    assert links
    for link in links:
        assert link.startswith(f"{HOME}/blob/v{VERSION}/docs/runbooks/")
        assert (root / "docs/runbooks" / link.rpartition("/")[2]).exists()
    assert f"`{HOME}/blob/v{VERSION}/docs/runbooks`" in member(built / CHART, "README.md")


def test_without_a_home_none_is_named(release: Callable[..., Path]) -> None:
    homeless = release("homeless", "")
    assert "Project-URL" not in metadata(homeless)
    assert "github.com" not in member(homeless / CHART, "Chart.yaml")


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(built / WHEEL) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert tops == {"exporter", f"vastai_exporter-{VERSION}.dist-info"}


def test_the_wheel_has_what_the_command_files_writes_from_a_checkout(
    built: Path, run: Run, tmp_path: Path
) -> None:
    with zipfile.ZipFile(built / WHEEL) as archive:
        archive.extractall(tmp_path / "installed")  # noqa: S202 - just built
    command = (Path(sys.executable), "-m", "exporter", "files", "--output")
    ours = run(*command, tmp_path / "ours")
    theirs = run(*command, tmp_path / "theirs", PYTHONSAFEPATH="1", PYTHONPATH=str(tmp_path / "installed"))
    assert (ours.returncode, theirs.returncode) == (0, 0), ours.stderr + theirs.stderr

    def written(name: str) -> dict[str, bytes]:
        files = (path for path in (tmp_path / name).rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files}

    assert written("ours") == written("theirs")
    inside = {
        path.relative_to(tmp_path / "installed/exporter/files")
        for path in (tmp_path / "installed/exporter/files").rglob("*")
        if path.is_file()
    }
    assert set(map(str, inside)) == written("ours").keys()


def test_the_checker_of_the_uploader_takes_both_and_refuses_what_it_does_not_know(
    built: Path, run: Run, root: Path, tmp_path: Path
) -> None:
    twine = root / ".venv-publishing/bin/twine"
    checked = run(twine, "check", "--strict", built / WHEEL, built / SDIST)
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count("PASSED") == 2
    newer = tmp_path / WHEEL
    with zipfile.ZipFile(built / WHEEL) as archive, zipfile.ZipFile(newer, "w") as other:
        for name in archive.namelist():
            data = archive.read(name)
            if name.endswith("METADATA"):
                data = data.replace(b"Metadata-Version: 2.4", b"Metadata-Version: 2.5")
            other.writestr(name, data)
    refused = run(twine, "check", "--strict", newer)
    assert refused.returncode == 1
    assert "'2.5' is not a valid metadata version" in " ".join((refused.stdout + refused.stderr).split())


def test_the_bill_of_materials_is_the_lock_file(built: Path, root: Path) -> None:
    bom = json.loads((built / SBOM).read_text())
    assert bom["bomFormat"] == "CycloneDX"
    assert (bom["metadata"]["component"]["name"], bom["metadata"]["component"]["version"]) == (
        "vastai-exporter",
        VERSION,
    )
    assert "serialNumber" not in bom
    lines = (root / "requirements.lock").read_text().splitlines()
    locked = {line.split()[0] for line in lines if "==" in line}
    assert {f"{part['name']}=={part['version']}" for part in bom["components"]} == locked
    assert all(part["externalReferences"][0]["hashes"] for part in bom["components"])


def test_the_bill_of_materials_has_licences_package_urls_and_what_needs_what(built: Path) -> None:
    bom = json.loads((built / SBOM).read_text())
    purl = f"pkg:pypi/vastai-exporter@{VERSION}"
    assert bom["metadata"]["component"]["purl"] == purl
    needs = {each["ref"]: set(each["dependsOn"]) for each in bom["dependencies"]}
    parts = {part["purl"]: part for part in bom["components"]}
    assert needs.keys() == {purl, *parts}
    assert all(part["bom-ref"] == ref for ref, part in parts.items())
    by_name = {part["name"]: ref for ref, part in parts.items()}
    assert by_name["requests"] in needs[purl]
    assert {by_name["urllib3"], by_name["certifi"]} <= needs[by_name["requests"]]
    reached, waiting = set(), [purl]
    while waiting:
        reached.add(ref := waiting.pop())
        waiting += needs[ref] - reached
    assert reached == needs.keys(), "nothing is in it that nothing needs"
    for part in parts.values():
        (licence,) = part["licenses"]
        assert licence.get("expression") or licence["license"]["id"]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str((built / SBOM).read_text()) is None
