import pytest
from hypothesis import given
from hypothesis import strategies as st

from turpentine.core.errors import BadArgument, BadWindow, EmptySelection, MixedSites, UnknownName
from turpentine.models import Model, Site, Sites, Window, selected, window_of

UNIVERSE = Sites.all_of(
    [
        Site(f"unet.part.{n}", kind, f"DOWN{n}", 2**n, level, (f"unet.part.{n}.weight", "unet.shared.bias"))
        for n, (kind, level) in enumerate(
            [("resnet", "module"), ("resnet", "layer"), ("norm", "layer"), ("sampler", "layer")] * 2
        )
    ]
)


@st.composite
def selections(draw):
    kept = draw(st.lists(st.booleans(), min_size=len(UNIVERSE), max_size=len(UNIVERSE)))
    return Sites(UNIVERSE.everything, tuple(site for site, keep in zip(UNIVERSE, kept, strict=True) if keep))


@given(selections(), selections(), selections())
def test_selections_are_a_boolean_algebra(a, b, c):
    assert a | b == b | a
    assert a & b == b & a
    assert a & (b | c) == (a & b) | (a & c)
    assert ~(a | b) == ~a & ~b
    assert ~~a == a
    assert a - b == a & ~b
    assert (a | ~a) == UNIVERSE
    assert len(a & ~a) == 0
    assert len(a | b) + len(a & b) == len(a) + len(b)


def test_a_setting_selects_by_kind_label_and_name(sd1: Model) -> None:
    def names(wanted: str | Sites | tuple[str, ...]) -> set[str]:
        return {site.name for site in selected(sd1.sites, wanted)}

    layers = sd1.sites.only(level="layer", name="unet.*")
    assert names("all") == {site.name for site in layers}
    assert names("resnet, MID") == {s.name for s in layers.only(kind="resnet") | layers.only(label="MID")}
    assert names("UP?") == {site.name for site in layers.only(label="UP?")}
    assert names("unet.mid_block.*") == {site.name for site in sd1.sites.only(name="unet.mid_block.*")}
    some = sd1.sites.only(label="MID", kind="cross-attention").during(0, 0.5)
    assert selected(sd1.sites, some) is some
    assert names(tuple(site.name for site in some)) == names(some)
    order = [site.name for site in sd1.sites]
    chosen = [site.name for site in selected(sd1.sites, "UP1, DOWN1")]
    assert chosen == sorted(chosen, key=order.index)
    with pytest.raises(EmptySelection, match=r"'NOSE': there are the kinds .*cross-attention.*labels .*MID"):
        selected(sd1.sites, "MID,NOSE")
    with pytest.raises(UnknownName, match="nowhere"):
        selected(sd1.sites, ("unet.nowhere",))


def test_windows_of_settings_and_sites_meet(sd1: Model) -> None:
    assert window_of((0.0, 0.2), "all").counted(50) == range(10)
    assert window_of((0.0, 0.5), sd1.sites.during(0.25, 1)).counted(8) == range(2, 4)
    assert window_of((0.0, 0.5), sd1.sites) == Window(0.0, 0.5)
    with pytest.raises(BadWindow, match="none of the 2"):
        window_of((0.0, 0.2), "all").counted(2)
    with pytest.raises(BadWindow, match="is no part of the schedule"):
        window_of((0.0, 0.5), sd1.sites.during(0.5, 1))


@given(selections(), selections())
def test_members_and_order(a, b):
    for site in UNIVERSE:
        assert (site in (a | b)) == (site in a or site in b)
        assert (site in (a - b)) == (site in a and site not in b)
    order = list(UNIVERSE)
    for combined in (a | b, a & b, a - b, ~a):
        assert [order.index(site) for site in combined] == sorted(order.index(site) for site in combined)
    if a == b:
        assert hash(a) == hash(b)


def test_only_narrows_by_every_argument_given():
    assert [site.name for site in UNIVERSE.only(kind="resnet", level="layer")] == ["unet.part.1", "unet.part.5"]
    assert len(UNIVERSE.only(kind=["norm", "sampler"])) == 4
    assert [site.resolution for site in UNIVERSE.only(resolution=[1, 4])] == [1, 4]
    assert len(UNIVERSE.only(name="unet.part.?", label="DOWN[0-2]")) == 3
    assert UNIVERSE.only() == UNIVERSE


def test_an_empty_selection_says_what_was_looked_for_and_what_exists():
    with pytest.raises(EmptySelection) as caught:
        UNIVERSE.only(kind="cross-atention")
    assert "'cross-atention'" in str(caught.value)
    assert "resnet, norm, sampler" in str(caught.value)


def test_narrowing_to_one_kind_twice_says_what_is_left():
    with pytest.raises(EmptySelection, match="kind: norm"):
        UNIVERSE.only(kind="norm").only(kind="resnet")


def test_an_empty_list_is_a_mistake():
    with pytest.raises(BadArgument, match="empty list"):
        UNIVERSE.only(label=[])


def test_parameters_come_once_and_in_order():
    two = UNIVERSE.only(resolution=[1, 2])
    assert two.parameters() == ("unet.part.0.weight", "unet.shared.bias", "unet.part.1.weight")


@pytest.mark.parametrize(("start", "stop"), [(-0.1, 0.5), (0.5, 1.1), (0.5, 0.5), (0.6, 0.4), (float("nan"), 1.0)])
def test_a_window_outside_the_schedule_is_an_error(start, stop):
    with pytest.raises(BadWindow, match="from 0 to 1"):
        UNIVERSE.during(start, stop)


def test_a_window_is_part_of_the_value():
    early = UNIVERSE.during(0, 0.3)
    assert early != UNIVERSE
    assert early == UNIVERSE.during(0, 0.3)
    assert "during 0 to 0.3" in str(early)
    assert early.only(kind="norm").window == early.window
    with pytest.raises(MixedSites, match="two windows"):
        _ = early | UNIVERSE


def test_sites_of_two_models_do_not_mix():
    with pytest.raises(MixedSites, match="two models"):
        _ = UNIVERSE | Sites.all_of(list(UNIVERSE)[:2])


def test_it_prints_short():
    assert repr(UNIVERSE.only(kind="norm")) == "Sites(2 of 8: DOWN2 norm, DOWN6 norm)"
    assert repr(UNIVERSE) == "Sites(8 of 8: DOWN0 resnet, DOWN1 resnet, DOWN2 norm, ..., DOWN7 sampler)"
    assert repr(~UNIVERSE) == "Sites(0 of 8: none)"


def test_it_cannot_be_changed():
    with pytest.raises(AttributeError):
        UNIVERSE.chosen = ()
