"""Bets keep what Ville's inequality promises, and see what is there to be seen."""

import random

import pytest

from learners.bets import PROOF_STAKES, RISE_STAKES, Bet, Proof, Rise


def test_wealth_by_hand() -> None:
    """Each stake multiplies by 1 + s d, and the wealth is their mean."""
    bet = Bet((0.5, 1.0))
    assert bet.wealth == 1.0
    bet.add(0.5)
    assert bet.wealth == (1.25 + 1.5) / 2
    bet.add(-1.0)
    assert bet.wealth == (0.625 + 0.0) / 2
    bet.restart()
    assert bet.wealth == 1.0


def test_a_floor_forgets_losses() -> None:
    """With a floor of 1 the next win starts from 1 at least; without one, ruin is for ever."""
    alarm, proof = Bet((1.0,), floor=1.0), Bet((1.0,))
    for d in (-1.0, -1.0, 1.0):
        alarm.add(d)
        proof.add(d)
    assert (alarm.wealth, proof.wealth) == (2.0, 0.0)


def test_no_difference_is_no_round() -> None:
    """Equal losses leave the wealth alone, whatever the floor."""
    for floor in (0.0, 1.0):
        bet = Bet((0.5,), floor)
        bet.add(-0.5)
        before = bet.wealth
        bet.add(0.0)
        assert bet.wealth == before


@pytest.mark.parametrize("stakes", [PROOF_STAKES, (0.05, 0.1, 0.2)])
def test_a_fair_game_rarely_makes_rich(stakes: tuple[float, ...]) -> None:
    """If neither is better the wealth reaches 20 in at most 5% of games, though looked at every step."""
    rich = 0
    for game in range(400):
        coin = random.Random(game)
        bet = Bet(stakes)
        rich += any(_played(bet, coin.choice((-1.0, 0.0, 1.0))) >= 20 for _ in range(400))
    assert rich <= 20 + 9  # two standard deviations above 5% of 400


def _played(bet: Bet, d: float) -> float:
    bet.add(d)
    return bet.wealth


@pytest.mark.parametrize("lag", [0, 20])
def test_an_equal_challenger_rarely_proves_itself(lag: int) -> None:
    """Losses that share their fate for as long as labels are late do not fool the proof."""
    proved = 0
    for game in range(200):
        coin, proof, luck = random.Random(game), Proof(), 0.0
        for step in range(1000):
            if step % (lag + 1) == 0:
                luck = coin.choice((-1.0, 1.0))
            proof.add(max(luck, 0.0), max(-luck, 0.0), lag)
            if proof.wealth >= 20:
                proved += 1
                break
    assert proved <= 10 + 7


@pytest.mark.parametrize(("lag", "labels"), [(0, 400), (20, 2000)])
def test_a_better_challenger_proves_itself(lag: int, labels: int) -> None:
    """Ten points fewer errors are proved within some hundred labels, late ones within two thousand."""
    coin, proof = random.Random(1), Proof()
    for _ in range(labels):
        proof.add(float(coin.random() < 0.4), float(coin.random() < 0.2), lag)
    assert proof.wealth >= 40
    assert proof.against < 1
    assert proof.labels == labels


def test_roles_are_symmetric() -> None:
    """Evidence for the one is evidence against the other."""
    coin, one, other = random.Random(2), Proof(), Proof()
    for step in range(300):
        a, b, lag = coin.random(), coin.random(), step % 5
        one.add(a, b, lag)
        other.add(b, a, lag)
    assert one.wealth == other.against
    assert one.against == other.wealth


def test_late_labels_are_bet_on_in_every_second_block() -> None:
    """Blocks are longer than the largest lag in them, and each second one is left out."""
    proof, expected = Proof(), Bet(PROOF_STAKES)
    for number, d in enumerate((1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5)):
        proof.add(d, 0.0, lag=2 if number % 3 == 0 else 1)
    expected.add(2.0 / 3.0)
    expected.add(0.5)
    assert proof.wealth == expected.wealth
    assert (proof.labels, proof.bets) == (9, 2)


def test_stakes_may_be_topped_up() -> None:
    """What is added counts as wealth and is staked from there on; what is lost for good starts again."""
    proof = Proof(start=0.8)
    assert proof.wealth == 0.8
    for _ in range(60):
        proof.add(0.0, 1.0, 0)
    assert proof.wealth < 0.01
    proof.top_up(0.2)
    assert proof.wealth == pytest.approx(0.2, abs=0.01)
    for _ in range(60):
        proof.add(1.0, 0.0, 0)
    assert proof.wealth > 20


def test_rise_is_the_bet_written_out() -> None:
    """Its wealth is that of bets with a floor of 1 on the loss above its mean and a margin."""
    coin, rise, bet, mean, keen = random.Random(6), Rise(1e9), Bet(RISE_STAKES, floor=1.0), 0.0, 1.0
    for n in range(1, 400):
        x = float(coin.random() < (0.2 if n < 300 else 0.5))
        if n > 30:
            above = mean + (max(mean * (1 - mean), 0.0) / n) ** 0.5 + 0.5 / n
            bet.add(max(-1.0, x - above))
            keen = max(keen, 1.0) * (1.0 + min(3.0, 0.3 / above) * max(-1.0, x - above))
        mean += (x - mean) / n
        rise.update(x)
        assert rise.wealth == pytest.approx((3.0 * bet.wealth + keen) / 4.0)
        assert rise.estimation == mean


def test_rise_is_one_sided_and_starts_afresh() -> None:
    """It fires when the loss rises, not when it falls; then it learns the new level and is quiet."""
    coin, rise = random.Random(3), Rise()
    fired = []
    for step, p in enumerate([0.5] * 1500 + [0.1] * 1500 + [0.4] * 3000):
        rise.update(float(coin.random() < p))
        if rise.drift_detected:
            fired.append(step)
    assert len(fired) == 1
    assert 3000 <= fired[0] < 3150


def test_rise_is_rarely_wrong() -> None:
    """On 100,000 steady losses with a budget of 10,000 there are few alarms."""
    coin, rise, alarms = random.Random(4), Rise(), 0
    for _ in range(100_000):
        rise.update(float(coin.random() < 0.2))
        alarms += rise.drift_detected
    assert alarms <= 10


def test_a_loss_that_never_changes_never_fires() -> None:
    """Nothing to see in a constant."""
    for loss in (0.0, 0.3, 1.0):
        rise = Rise()
        for _ in range(3000):
            rise.update(loss)
            assert not rise.drift_detected
