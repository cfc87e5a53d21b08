"""Every colour can be told from what is behind it, in both themes: level AA of WCAG 2.1."""

from __future__ import annotations

import pytest

from grafana.dashboards import events, exporter
from grafana.lib import palette
from grafana.lib.palette import FILLS, INK, INSTEAD, PLAIN, STATUS_WORDS, STATUSES, TILES

#: What Grafana's names mean in each theme (@grafana/data, createVisualizationColors).
NAMES = {
    "light-red": ("#FF7383", "#F2495C"),
    "red": ("#F2495C", "#E02F44"),
    "semi-dark-red": ("#E02F44", "#C4162A"),
    "dark-red": ("#C4162A", "#AD0317"),
    "super-light-orange": ("#FFCB7D", "#FFB357"),
    "dark-orange": ("#FA6400", "#E55400"),
    "yellow": ("#FADE2A", "#F2CC0C"),
    "semi-dark-green": ("#56A64B", "#37872D"),
    "dark-green": ("#37872D", "#19730E"),
    "light-blue": ("#8AB8FF", "#5794F2"),
    "blue": ("#5794F2", "#3274D9"),
    "semi-dark-blue": ("#3274D9", "#1F60C4"),
    "dark-blue": ("#1F60C4", "#1250B0"),
    "light-purple": ("#CA95E5", "#B877D9"),
    "purple": ("#B877D9", "#A352CC"),
    "dark-purple": ("#8F3BB8", "#7C2EA3"),
}
#: A panel's background, dark and light.
PANELS = ("#181B1F", "#FFFFFF")
#: What Grafana writes on a colour: the first where it is brighter than this.
ON_BRIGHT, ON_DARK, BRIGHT = "#202226", "#F7F8FA", 180
#: Of small text; of large text, lines and areas.
SMALL, LARGE = 4.5, 3.0


def parts(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def luminance(color: str) -> float:
    red, green, blue = (
        part / 255 / 12.92 if part / 255 <= 0.04045 else ((part / 255 + 0.055) / 1.055) ** 2.4
        for part in parts(color)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, brighter = sorted((luminance(one), luminance(other)))
    return (brighter + 0.05) / (darker + 0.05)


def text_on(color: str) -> str:
    red, green, blue = parts(color)
    return ON_BRIGHT if (299 * red + 587 * green + 114 * blue) / 1000 > BRIGHT else ON_DARK


def in_themes(color: str) -> tuple[str, str]:
    return (color, color) if color.startswith("#") else NAMES[color]


OF_SERIES = sorted(
    {
        *INK,
        *STATUSES.values(),
        *(color for _, color in INSTEAD.values()),
        *exporter.REASONS.values(),
        *exporter.CODES.values(),
        *(set(events.SHADES.values()) - {PLAIN}),
    }
)


@pytest.mark.parametrize("color", OF_SERIES)
def test_lines_areas_and_large_text_stand_out_from_the_panel(color: str) -> None:
    for shown, panel in zip(in_themes(color), PANELS, strict=True):
        assert contrast(shown, panel) >= LARGE


@pytest.mark.parametrize("color", sorted(set(FILLS.values()) - {"transparent"}))
def test_text_stands_out_from_a_coloured_cell(color: str) -> None:
    for shown in in_themes(color):
        assert contrast(text_on(shown), shown) >= SMALL


@pytest.mark.parametrize("color", sorted(set(TILES.values()) - {"transparent"}))
def test_large_text_stands_out_from_a_coloured_tile(color: str) -> None:
    for shown in in_themes(color):
        assert contrast(text_on(shown), shown) >= LARGE


def test_no_yellow_of_grafana_would_do() -> None:
    assert contrast(NAMES["yellow"][1], PANELS[1]) < 2
    assert palette.WATCH not in NAMES


def test_every_word_in_a_table_has_a_fill() -> None:
    words = (
        STATUS_WORDS,
        palette.REASONS,
        palette.ACCOUNT_REASONS,
        palette.AUTO_TOP_UP,
        events.TYPE_WORDS,
    )

    assert {color for mapping in words for _, color in mapping.values()} <= set(FILLS)
    assert FILLS[PLAIN] == "transparent"


def test_a_refused_key_is_not_green() -> None:
    assert exporter.REASONS["auth"] == palette.CRITICAL
    assert palette.GOOD not in exporter.REASONS.values()
