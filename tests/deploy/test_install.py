"""docs/install.md and docs/scaling.md: what they tell to type can be typed."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from exporter import __version__
from exporter.commands.configuration import CONFIG
from exporter.web.access import read_access

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

PAGES = ("docs/install.md", "docs/scaling.md")
WAYS = ("pipx", "systemd", "Docker", "Compose", "Helm", "kustomize", "textfile")


@pytest.fixture(scope="module")
def blocks(root: Path) -> dict[str, list[str]]:
    """The blocks of code of docs/install.md by their language."""
    found: dict[str, list[str]] = {}
    for language, text in re.findall(r"(?ms)^```([^\n]*)\n(.*?)^```$", (root / PAGES[0]).read_text()):
        found.setdefault(language, []).append(text)
    return found


def test_each_way_is_under_ten_lines(blocks: dict[str, list[str]]) -> None:
    assert len(blocks["sh"]) == len(WAYS)
    assert all(len(text.splitlines()) < 10 for text in blocks["sh"])


@pytest.mark.parametrize("way", WAYS)
def test_each_way_says_how_to_upgrade_and_to_remove(root: Path, way: str) -> None:
    (section,) = re.findall(rf"(?ms)^## {way}\n(.*?)(?=^## )", (root / PAGES[0]).read_text())
    assert "Upgrade:" in section
    assert "Remove:" in section


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(root: Path, page: str) -> None:
    text = (root / page).read_text()
    named = set(re.findall(r"(?<![\w/.-])((?:deploy|grafana|docs)/[\w./*-]*[\w*])", text))
    linked = set(re.findall(r"\]\((?!https?:|#)([^)#]+)\)", text))
    assert named
    made = {"deploy/compose/secrets", "deploy/compose/secrets/vast_api_key"}
    assert [name for name in named - made if not list(root.glob(name))] == []
    assert [name for name in linked if not (root / "docs" / name).exists()] == []


def test_no_page_installs_what_is_not_published(root: Path) -> None:
    published = re.compile(
        r"(?:pipx?|uv tool) install (?:-\S+ )*vastai-exporter|oci://|ghcr\.io/|docker pull"
    )
    pages = [*root.glob("*.md"), *(root / "docs").glob("*.md"), *(root / "deploy").rglob("*.md")]
    assert len(pages) > 10
    assert [page.name for page in pages if published.search(page.read_text())] == []


def test_a_key_file_is_put_where_a_way_reads_it(root: Path, blocks: dict[str, list[str]]) -> None:
    unit = (root / "deploy/systemd/vastai-exporter.service").read_text()
    (credential,) = re.findall(r"LoadCredential=vast_api_key:(\S+)", unit)
    systemd, docker = blocks["sh"][1], blocks["sh"][2]
    (mounted,) = re.findall(r"--mount type=bind,source=([^,]+)", docker)
    assert re.search(rf"(?ms)^install .*FILE {credential}$.*^systemctl enable", systemd)
    assert re.search(rf"(?ms)^install -o 10001 .*FILE {mounted}$.*^docker run", docker)


def test_every_way_is_shell(blocks: dict[str, list[str]]) -> None:
    for text in blocks["sh"]:
        checked = subprocess.run(["/bin/bash", "-n"], input=text, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


def test_the_image_is_tagged_as_chart_and_kustomization_want_it(root: Path) -> None:
    tags = re.findall(r"IMAGE:(\S+?)(?: |$)", (root / PAGES[0]).read_text(), re.MULTILINE)
    base = (root / "deploy/kubernetes/base/kustomization.yaml").read_text()
    assert set(tags) == {__version__}
    assert f"newTag: {__version__}" in base.replace('"', "")


def test_helm_understands_what_it_is_told(
    blocks: dict[str, list[str]], run: Run, helm_path: Path, tmp_path: Path
) -> None:
    (text,) = (block for block in blocks["sh"] if "helm upgrade" in block)
    (command,) = (line for line in text.replace("\\\n", "").splitlines() if line.startswith("helm upgrade"))
    words = [word for word in shlex.split(command)[3:] if word != "--wait"]
    homes = {f"HELM_{name}_HOME": str(tmp_path) for name in ("CACHE", "CONFIG", "DATA")}
    rendered = run(helm_path, "template", *words, **homes)
    assert rendered.returncode == 0, rendered.stderr
    assert "kind: PrometheusRule" in rendered.stdout


def test_the_exporter_accepts_the_configuration_of_several_accounts(blocks: dict[str, list[str]]) -> None:
    config = CONFIG.model_validate(yaml.safe_load(blocks["yaml config"][0]))
    assert [account.name for account in config.accounts] == ["research", "production"]


def test_docker_is_told_of_files_in_a_way_that_fails_without_them(blocks: dict[str, list[str]]) -> None:
    (command,) = (text for text in blocks["sh"] if "\ndocker run" in text)
    assert "--mount type=bind," in command
    assert "--volume" not in command


def test_prometheus_accepts_the_scrape_configuration(
    blocks: dict[str, list[str]], run: Run, promtool: Path, tmp_path: Path
) -> None:
    text = blocks["yaml prometheus"][0]
    for name in re.findall(r"/etc/prometheus/(\S+)", text):
        (tmp_path / name).touch()
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace("/etc/prometheus", str(tmp_path)))
    checked = run(promtool, "check", "config", file)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_exporter_and_the_exporter_toolkit_accept_the_web_configuration(
    blocks: dict[str, list[str]], run: Run, promtool: Path, tmp_path: Path
) -> None:
    (tmp_path / "web.yml").write_text(blocks["yaml web"][0])
    subject = ("req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "1", "-subj", "/CN=exporter.example")
    files = ("-keyout", str(tmp_path / "tls.key"), "-out", str(tmp_path / "tls.crt"))
    made = run(Path("/usr/bin/openssl"), *subject, *files)
    assert made.returncode == 0, made.stderr
    checked = run(promtool, "check", "web-config", tmp_path / "web.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    access = read_access(tmp_path / "web.yml")
    assert access.context is not None
    assert access.config.basic_auth_users.keys() == {"prometheus"}
