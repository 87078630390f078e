"""Challenges and verdicts: who is heard, and where the money goes."""

import ape
import pytest

from tests.contracts.conftest import (
    BURNED,
    CONDEMNED,
    FEE,
    OPEN,
    PARAMETERS,
    PRICE,
    STAKED,
    VERIFYING,
    WEALTH,
)

BOND = PARAMETERS["bond"]
STAKE = 1_500  # of the solver, for one segment at 1000
TO_CHALLENGER, TO_REQUESTER, TO_FIRE = 600, 525, 375
VERIFIER_STAKE = 450  # for a fee of 300
WORK = (b"\x05" * 32, b"\x06" * 32)


# --- challenge ---------------------------------------------------------------------------------


def test_challenge_refuses_an_unknown_task(market, accuse, refuses):
    with refuses(market.UnknownTask, task=5):
        accuse(5)


def test_challenge_refuses_an_open_task(market, post, accuse, refuses):
    task = post()
    with refuses(market.WrongStatus, status=OPEN):
        accuse(task)


@pytest.mark.parametrize("change", [{"seed": 8}, {"steps": 11}, {"program": b"\x09" * 32}])
def test_challenge_refuses_another_job(market, commit, accuse, refuses, change):
    task = commit()
    with refuses(market.WrongJob):
        accuse(task, **change)


@pytest.mark.parametrize("segment", [1, 2, 2**32 - 1])
def test_challenge_refuses_what_is_not_committed(
    market, solver, assign, accuse, refuses, segment_of, segment
):
    task = assign(steps=30)
    market.commitSegment(task, 0, *segment_of(0), sender=solver)
    with refuses(market.NotCommitted, segment=segment):
        accuse(task, segment, steps=30)


def test_challenge_refuses_the_solver(market, solver, commit, accuse, refuses):
    task = commit()
    with refuses(market.OwnWork, solver=solver):
        accuse(task, sender=solver)


def test_challenge_refuses_who_cannot_pay_the_bond(market, court, rivals, commit, accuse):
    task = commit()
    with ape.reverts():
        accuse(task, sender=rivals[0])
    assert market.task(task).openDisputes == 0
    assert court.disputes() == 0


def test_challenge_to_the_last_second_of_the_window(market, draw, accuse, refuses, at):
    task = draw()
    end = market.task(task).windowEnds
    at(end)
    accuse(task)
    at(end + 1)
    with refuses(market.TooLate, deadline=end):
        accuse(task)


def test_challenge_refuses_after_the_solver_was_too_late(
    market, solver, assign, accuse, refuses, segment_of, at
):
    """Or else friends, with bonds for each other, could keep a task from expiring."""
    task = assign(steps=30)
    market.commitSegment(task, 0, *segment_of(0), sender=solver)
    end = market.task(task).commitUntil
    at(end)
    accuse(task, steps=30)
    at(end + 1)
    with refuses(market.TooLate, deadline=end):
        accuse(task, steps=30)


def test_challenge_of_a_committed_task_has_no_deadline(market, commit, accuse, at):
    """Anyone can end that status by a draw."""
    task = commit()
    at(market.task(task).commitUntil + 10**6)
    accuse(task)


def test_challenge(market, court, token, solver, challenger, commit, make_job, segment_of):
    task = commit(steps=25)
    job = make_job(steps=25)
    tx = market.challenge(task, job, 2, sender=challenger)
    assert (
        market.Challenged(task=task, segment=2, challenger=challenger, dispute=0, bond=BOND)
        in tx.events
    )
    market.challenge(task, job, 0, sender=challenger)
    assert token.balanceOf(challenger) == WEALTH - 2 * BOND
    assert token.balanceOf(market) == PRICE + FEE + 2 * BOND
    assert market.task(task).openDisputes == 2
    told = market.challengeOf(0)
    assert (told.task, told.segment, told.challenger) == (task, 2, challenger)
    assert (told.bond, told.open) == (BOND, True)

    claim = court.claimOf(0)
    assert (claim.solver, claim.challenger) == (solver, challenger)
    assert (claim.firstStep, claim.lastStep) == (20, 25)
    assert claim.firstState == segment_of(1)[0]
    assert (claim.lastState, claim.journal) == segment_of(2)
    for field in ("program", "data", "dataTensors", "rows", "seed"):
        assert getattr(claim, field) == job[field]
    claim = court.claimOf(1)
    assert (claim.firstStep, claim.lastStep) == (0, 10)
    assert claim.firstState == job["state"]
    assert claim.lastState == segment_of(0)[0]


def test_the_claim_of_a_last_segment_near_the_end_of_64_bits(market, court, commit, accuse):
    steps, segment_steps = 2**64 - 1, 2**63
    task = commit(steps=steps, segmentSteps=segment_steps)
    dispute = accuse(task, 1, steps=steps, segmentSteps=segment_steps)
    claim = court.claimOf(dispute)
    assert (claim.firstStep, claim.lastStep) == (2**63, 2**64 - 1)


# --- verdicts ----------------------------------------------------------------------------------


def test_verdict_refuses_everyone_but_the_court(market, requester, draw, accuse, refuses):
    dispute = accuse(draw())
    with refuses(market.NotCourt, caller=requester):
        market.onVerdict(dispute, True, sender=requester)


def test_verdict_refuses_what_was_never_opened_or_is_over(
    market, court, outsider, draw, accuse, refuses
):
    dispute = accuse(draw())
    court.decide(dispute, False, sender=outsider)
    for unknown in (dispute, dispute + 1):
        with refuses(market.UnknownChallenge, dispute=unknown):
            court.decideAgain(market, unknown, True, sender=outsider)
    with refuses(market.UnknownChallenge, dispute=dispute + 1):
        market.challengeOf(dispute + 1)


def test_not_guilty_gives_the_bond_to_the_solver(
    market, court, stakes, solver, challenger, outsider, draw, accuse
):
    task = draw()
    dispute = accuse(task)
    tx = court.decide(dispute, False, sender=outsider)
    assert tx.events == [
        market.ChallengeEnded(task=task, dispute=dispute, solverGuilty=False, moot=False),
        market.Credited(account=solver, task=task, amount=BOND),
    ]
    assert market.task(task).status == VERIFYING
    assert market.task(task).openDisputes == 0
    assert not market.challengeOf(dispute).open
    assert stakes.locked(solver, market) == STAKE
    assert market.credit(challenger) == 0


@pytest.mark.parametrize("status", ["assign", "commit", "draw"])
def test_punishment_divides_the_stake(
    market, stakes, token, solver, verifier, requester, challenger, outsider, convict,
    request, segment_of, status,
):  # fmt: skip
    # In the first case the second segment is missing, in the others there is one.
    steps = 20 if status == "assign" else 10
    task = request.getfixturevalue(status)(steps=steps, checks=steps // 10)
    if status == "assign":
        market.commitSegment(task, 0, *segment_of(0), sender=solver)
    _, tx = convict(task, steps=steps)
    assert (
        market.Punished(
            task=task,
            solver=solver,
            slashed=STAKE,
            toChallenger=TO_CHALLENGER,
            toRequester=TO_REQUESTER,
            burned=TO_FIRE,
        )
        in tx.events
    )
    assert market.task(task).status == CONDEMNED
    assert market.credit(challenger) == TO_CHALLENGER + BOND
    assert market.credit(requester) == TO_REQUESTER + PRICE + FEE
    assert market.credit(solver) == 0
    assert market.credit(BURNED) == TO_FIRE
    assert stakes.free(solver) == STAKED - STAKE
    assert stakes.free(verifier) == STAKED
    assert stakes.locked(solver, market) == stakes.locked(verifier, market) == 0

    market.withdrawFor(BURNED, sender=outsider)
    assert token.balanceOf(BURNED) == TO_FIRE
    market.withdraw(sender=challenger)
    market.withdraw(sender=requester)
    assert token.balanceOf(market) == 0


@pytest.mark.parametrize(
    "fee, lost",
    [
        (100, 150),  # all that the verifier has locked
        (300, TO_FIRE),  # no more than the solver has burned
    ],
)
def test_a_verifier_that_vouched_pays_too_and_nobody_gets_it(
    market, stakes, verifier, requester, challenger, draw, convict, fee, lost
):
    task = draw(verifierFee=fee)
    market.attest(task, sender=verifier)
    _, tx = convict(task)
    assert market.VerifierPenalised(task=task, verifier=verifier, slashed=lost) in tx.events
    assert stakes.free(verifier) == STAKED - lost
    assert stakes.locked(verifier, market) == 0
    assert market.credit(BURNED) == TO_FIRE + lost
    assert market.credit(challenger) == TO_CHALLENGER + BOND
    assert market.credit(requester) == TO_REQUESTER + PRICE + fee


def test_a_verifier_answers_only_for_what_it_checked(market, stakes, verifier, draw, convict):
    task = draw(steps=20)
    market.attest(task, sender=verifier)
    unchecked = 1 if market.task(task).checked == 1 else 0
    convict(task, unchecked, steps=20)
    assert stakes.free(verifier) == STAKED


def test_a_verifier_that_has_not_vouched_may_be_the_challenger(
    market, token, stakes, verifier, draw, convict
):
    task = draw()
    token.mint(verifier, BOND, sender=verifier)
    token.approve(market, BOND, sender=verifier)
    convict(task, sender=verifier)
    assert market.credit(verifier) == TO_CHALLENGER + BOND
    assert stakes.free(verifier) == STAKED


@pytest.mark.parametrize("guilty", [False, True])
def test_after_a_condemnation_every_verdict_is_moot(
    market, court, stakes, solver, challenger, requester, outsider, draw, accuse, guilty
):
    task = draw()
    first, second = accuse(task), accuse(task, sender=outsider)
    court.decide(first, True, sender=requester)
    tx = court.decide(second, guilty, sender=requester)
    assert tx.events == [
        market.ChallengeEnded(task=task, dispute=second, solverGuilty=guilty, moot=True),
        market.Credited(account=outsider, task=task, amount=BOND),
    ]
    assert market.credit(challenger) == 0
    market.punish(first, sender=outsider)
    assert market.credit(challenger) == TO_CHALLENGER + BOND
    assert market.credit(solver) == 0
    assert stakes.free(solver) == STAKED - STAKE


# --- between verdict and punishment ------------------------------------------------------------


def test_a_verdict_of_guilt_moves_no_money(
    market, court, stakes, solver, verifier, challenger, requester, outsider, draw, accuse,
    holdings,
):  # fmt: skip
    task = draw()
    dispute = accuse(task)
    before = holdings()
    tx = court.decide(dispute, True, sender=outsider)
    assert tx.events == [
        market.ChallengeEnded(task=task, dispute=dispute, solverGuilty=True, moot=False),
        market.Condemned(task=task, dispute=dispute),
    ]
    assert market.task(task).status == CONDEMNED
    assert market.task(task).openDisputes == 1
    told = market.challengeOf(dispute)
    assert (told.open, told.upheld) == (False, True)
    assert holdings() == before
    for account in (solver, verifier, challenger, requester, BURNED):
        assert market.credit(account) == 0
    assert stakes.locked(solver, market) == STAKE
    assert stakes.locked(verifier, market) == VERIFIER_STAKE

    market.punish(dispute, sender=outsider)
    told = market.challengeOf(dispute)
    assert (told.open, told.upheld) == (False, False)
    assert market.task(task).status == CONDEMNED
    assert market.task(task).openDisputes == 0


def test_punish_refuses_all_but_the_dispute_that_condemned_and_that_one_twice(
    market, court, challenger, outsider, draw, accuse, refuses
):
    task, other = draw(), draw()
    lost, first, second, moot, dismissed = (accuse(task) for _ in range(5))
    elsewhere = accuse(other)
    court.decide(lost, False, sender=outsider)
    for dispute in (lost, first, elsewhere, elsewhere + 1):
        with refuses(market.NotUpheld, dispute=dispute):
            market.punish(dispute, sender=challenger)
    court.decide(second, True, sender=outsider)
    court.decide(moot, True, sender=outsider)
    market.dismiss(dismissed, sender=outsider)
    for dispute in (lost, first, moot, dismissed, elsewhere):
        with refuses(market.NotUpheld, dispute=dispute):
            market.punish(dispute, sender=challenger)
    market.punish(second, sender=challenger)
    for dispute in (lost, first, second, moot, dismissed, elsewhere):
        with refuses(market.NotUpheld, dispute=dispute):
            market.punish(dispute, sender=challenger)


def test_the_dispute_that_condemned_has_no_other_way_out(
    market, court, outsider, draw, accuse, refuses
):
    """Its bond is paid once: not dismissed as well, and not decided again."""
    dispute = accuse(draw())
    court.decide(dispute, True, sender=outsider)
    for _ in range(2):
        with refuses(market.UnknownChallenge, dispute=dispute):
            market.dismiss(dispute, sender=outsider)
        for guilty in (False, True):
            with refuses(market.UnknownChallenge, dispute=dispute):
                court.decideAgain(market, dispute, guilty, sender=outsider)
        if market.challengeOf(dispute).upheld:
            market.punish(dispute, sender=outsider)


def test_a_condemned_solver_cannot_escape_before_it_is_punished(
    market, court, stakes, solver, verifier, requester, challenger, outsider, make_job, draw,
    accuse, refuses, at, now,
):  # fmt: skip
    """Whatever it and its friends do, however long nobody punishes: its stake stays, and everyone
    gets what the verdict has given them."""
    task = draw(steps=20, checks=2)
    dispute, another = accuse(task, steps=20), accuse(task, 1, steps=20)
    court.decide(dispute, True, sender=outsider)
    free = stakes.free(solver)
    with refuses(stakes.NotEnoughFree, worker=solver, free=free, needed=free + 1):
        stakes.unbond(free + 1, sender=solver)
    stakes.unbond(free, sender=solver)
    stakes.approveLocker(market, False, sender=solver)
    at(market.task(task).windowEnds + 10**8)
    stakes.withdraw(sender=solver)
    acts = {
        "bid": (task, 1), "close": (task,), "commitSegment": (task, 2, *WORK),
        "commitSegments": (task, 2, [WORK]), "draw": (task,), "attest": (task,),
        "settle": (task,), "expire": (task,),
        "challenge": (task, make_job(steps=20), 0), "demand": (task, make_job(steps=20), 0, 7),
    }  # fmt: skip
    for name, given in acts.items():
        for sender in (solver, verifier, requester):
            with refuses(market.WrongStatus, status=CONDEMNED):
                getattr(market, name)(*given, sender=sender)
    court.decide(another, False, sender=solver)  # moot: acquits nobody
    for account in (solver, requester):
        with refuses(market.NothingToWithdraw, account=account):
            market.withdraw(sender=account)
    assert stakes.locked(solver, market) == STAKE

    market.punish(dispute, sender=solver)
    assert stakes.locked(solver, market) == stakes.free(solver) == 0
    assert market.credit(challenger) == TO_CHALLENGER + 2 * BOND
    assert market.credit(requester) == TO_REQUESTER + PRICE + FEE
    assert market.credit(BURNED) == TO_FIRE
    assert market.credit(solver) == 0


@pytest.mark.parametrize("vouched", [False, True])
def test_what_a_verifier_answers_for_is_settled_by_the_verdict(
    market, court, stakes, verifier, outsider, draw, accuse, refuses, vouched
):
    """It cannot vouch any more, nor take its stake away, before it is punished or let go."""
    task = draw(verifierFee=100)
    if vouched:
        market.attest(task, sender=verifier)
    dispute = accuse(task)
    court.decide(dispute, True, sender=outsider)
    with refuses(market.WrongStatus, status=CONDEMNED):
        market.attest(task, sender=verifier)
    stakes.approveLocker(market, False, sender=verifier)
    stakes.unbond(stakes.free(verifier), sender=verifier)
    market.delist(sender=verifier)
    market.punish(dispute, sender=verifier)
    assert stakes.locked(verifier, market) == 0
    assert stakes.free(verifier) == (0 if vouched else 150)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_punishments_come_in_any_order(
    market, court, stakes, solver, requester, challenger, outsider, draw, accuse, order
):
    """Two tasks of one solver: each punishment takes that task's own stake and no other."""
    tasks = draw(), draw(price=500)
    found = [accuse(task) for task in tasks]
    for dispute in found:
        court.decide(dispute, True, sender=outsider)
    locked = STAKE + STAKE // 2
    for i in order:
        assert stakes.locked(solver, market) == locked
        market.punish(found[i], sender=outsider)
        locked -= (STAKE, STAKE // 2)[i]
    assert stakes.locked(solver, market) == locked == 0
    assert stakes.free(solver) == STAKED - STAKE - STAKE // 2
    assert market.credit(challenger) == TO_CHALLENGER + TO_CHALLENGER // 2 + 2 * BOND
    assert market.credit(requester) == TO_REQUESTER + 262 + 2 * (PRICE + FEE)
    assert market.credit(BURNED) == TO_FIRE + 188


def test_a_settlement_beside_a_condemned_task_leaves_that_ones_stake(
    market, court, stakes, solver, outsider, draw, accuse, at
):
    """What is locked is one number for all of a solver's tasks: none releases another's."""
    condemned, honest = draw(), draw()
    dispute = accuse(condemned)
    court.decide(dispute, True, sender=outsider)
    at(market.task(honest).windowEnds + 1)
    market.settle(honest, sender=outsider)
    assert stakes.locked(solver, market) == STAKE
    market.punish(dispute, sender=outsider)
    assert stakes.locked(solver, market) == 0
    assert stakes.free(solver) == STAKED - STAKE


# --- dismiss -----------------------------------------------------------------------------------


def test_dismiss_refuses_what_is_not_moot(market, outsider, draw, accuse, refuses):
    dispute = accuse(draw())
    with refuses(market.NotMoot, dispute=dispute):
        market.dismiss(dispute, sender=outsider)
    with refuses(market.UnknownChallenge, dispute=dispute + 1):
        market.dismiss(dispute + 1, sender=outsider)


def test_dismiss(market, court, requester, challenger, outsider, draw, accuse, refuses):
    task = draw()
    first, second = accuse(task), accuse(task, sender=outsider)
    court.decide(second, True, sender=requester)
    tx = market.dismiss(first, sender=requester)
    assert (
        market.ChallengeEnded(task=task, dispute=first, solverGuilty=False, moot=True) in tx.events
    )
    assert market.credit(challenger) == BOND
    assert market.task(task).openDisputes == 1  # the second, which nobody has punished
    assert court.isClosed(first)
    with refuses(market.UnknownChallenge, dispute=first):
        market.dismiss(first, sender=requester)


def test_a_condemned_task_takes_no_more_challenges(market, court, outsider, draw, accuse, refuses):
    task = draw()
    court.decide(accuse(task), True, sender=outsider)
    with refuses(market.WrongStatus, status=CONDEMNED):
        accuse(task)


def test_what_is_slashed_does_not_depend_on_the_approval(
    market, court, stakes, solver, verifier, outsider, draw, accuse
):
    task = draw()
    market.attest(task, sender=verifier)
    dispute = accuse(task)
    for worker in (solver, verifier):
        stakes.approveLocker(market, False, sender=worker)
        stakes.unbond(stakes.free(worker), sender=worker)
    court.decide(dispute, True, sender=outsider)
    market.punish(dispute, sender=outsider)
    assert stakes.free(solver) == 0
    assert market.credit(BURNED) == 2 * TO_FIRE
