"""Which seed of which cells is next: by what decides most per hour."""

from study.claims.allocation import Addition, Open, next_seed

LADDER = [0, 1, 2, 3, 4, 5]
FIRST = {cell: {0, 1} for cell in range(4)}
A_MINUTE = dict.fromkeys(range(4), 60.0)


def chosen(*open_, given=FIRST, over=FIRST, seconds=A_MINUTE, ladder=LADDER):
    return next_seed(open_, ladder, given=given, over=over, seconds=seconds)


def claim(name, cells, more):
    return Open(name, frozenset(cells), more)


def test_the_claim_that_is_nearest_to_its_verdict_comes_first():
    assert chosen(claim("far", [0, 1], 9), claim("near", [2, 3], 2)) == Addition(2, (2, 3), ("near",), 2)


def test_of_claims_as_near_the_cheaper_comes_first():
    assert chosen(claim("dear", [0, 1], 3), claim("cheap", [2], 3)).cells == (2,)
    dear = {0: 600.0, 1: 600.0, 2: 60.0, 3: 60.0}
    assert chosen(claim("slow", [0, 1], 3), claim("fast", [2, 3], 3), seconds=dear).cells == (2, 3)


def test_a_seed_that_serves_several_claims_counts_for_each():
    several = [claim("whole", [0, 1, 2], 4), claim("part", [0, 1], 40), claim("other", [1, 2], 4)]
    alone = claim("alone", [3, 0], 4)
    found = chosen(alone, *several)
    assert found == Addition(2, (1, 2), ("other",), 4) or found.claims == ("whole", "part", "other")
    assert chosen(claim("alone", [3, 0], 4), claim("a", [1, 2], 4), claim("b", [1, 2], 4)).claims == ("a", "b")


def test_cells_that_have_the_seed_already_are_not_run_again():
    ahead = FIRST | {0: {0, 1, 2}}
    assert chosen(claim("a", [0, 1], 4), given=ahead, over=ahead).cells == (1,)


def test_a_claim_waits_for_as_many_seeds_as_are_expected_to_decide_it():
    under_way = {cell: {0, 1, 2, 3} for cell in range(4)}
    assert chosen(claim("a", [0, 1], 2), given=under_way) is None
    assert chosen(claim("a", [0, 1], 3), given=under_way) == Addition(4, (0, 1), ("a",), 3)
    one_is_over = {cell: {0, 1, 2} for cell in range(4)}
    assert chosen(claim("a", [0, 1], 2), given=under_way, over=one_is_over).seed == 4


def test_nothing_is_added_beyond_the_last_seed_or_for_no_claim():
    whole = {cell: set(LADDER) for cell in range(4)}
    assert chosen(claim("a", [0, 1], 5), given=whole, over=whole) is None
    assert chosen() is None
    assert chosen(claim("nothing to compare", [], 5)) is None


def test_seeds_are_taken_in_the_order_of_the_ladder():
    assert chosen(claim("a", [0], 9), ladder=[7, 3, 8, 9], given={0: {7, 3}}, over={0: {7, 3}}).seed == 8
