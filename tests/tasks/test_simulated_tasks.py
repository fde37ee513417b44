import anyio
import pytest

from engine.plan.models import FailureClass
from engine.tasks.base import Cancelled, Failed, Succeeded, verdict
from engine.tasks.simulate import SimulatedExecutor
from tests.tasks.conftest import MakeJob, carry_out

pytestmark = pytest.mark.anyio


class Clock:
    """A clock on which time passes as soon as somebody sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await anyio.lowlevel.checkpoint()


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_it_takes_its_time_on_the_clock_it_is_given(make_job: MakeJob, clock: Clock) -> None:
    job = make_job({"simulate": {"duration": "2h", "output": "one\ntwo\n"}}, sleep=clock.sleep)
    assert await carry_out(job) == Succeeded()
    assert clock.slept == [7200.0]
    assert job.output.path.read_text() == "one\ntwo\n"


@pytest.mark.parametrize(
    ("action", "task", "seconds"),
    [
        ({"simulate": {}}, {"duration": "3s"}, 3.0),
        ({"simulate": {}}, {}, 1.0),
        ({"simulate": {"duration": "0s"}}, {"duration": "3s"}, 0.0),
        ({"shell": "exit 3"}, {"duration": "4s"}, 4.0),
    ],
)
async def test_what_is_not_told_is_what_is_expected(
    make_job: MakeJob, clock: Clock, action: dict[str, object], task: dict[str, object], seconds: float
) -> None:
    job = make_job(action, task=task, sleep=clock.sleep)
    assert await SimulatedExecutor().run(job) == Succeeded()
    assert clock.slept == [seconds]


async def test_its_end_is_classified_like_that_of_a_command(make_job: MakeJob, clock: Clock) -> None:
    outcome = await carry_out(make_job({"simulate": {"exit": 74, "output": "boom"}}, sleep=clock.sleep))
    assert isinstance(outcome, Failed)
    assert (outcome.failure_class, outcome.resource, outcome.effect) == (
        FailureClass.RESOURCE,
        "disk",
        "none",
    )
    ruled = make_job(
        {"simulate": {"exit": 1, "output": "boom"}},
        task={"classify": [{"output": "BOOM", "as": "transient"}]},
        sleep=clock.sleep,
    )
    outcome = await carry_out(ruled)
    assert isinstance(outcome, Failed)
    assert outcome.rule == 'plan: output "BOOM" as transient'


async def test_a_timeout_comes_first_where_it_is_shorter(make_job: MakeJob, clock: Clock) -> None:
    outcome = await carry_out(make_job({"simulate": {"duration": "1h"}}, timeout_s=60.0, sleep=clock.sleep))
    assert clock.slept == [60.0]
    assert isinstance(outcome, Failed)
    assert (outcome.rule, outcome.failure_class) == ("engine: timeout", FailureClass.TRANSIENT)


async def test_stop_ends_it_without_effect(make_job: MakeJob) -> None:
    job = make_job({"simulate": {"duration": "1h"}})
    job.stop.set()
    with anyio.fail_after(5):
        assert await carry_out(job) == Cancelled(effect="none", reason="ended on request")


@pytest.mark.parametrize(("code", "done"), [(0, True), (1, False), (2, None)])
async def test_it_verifies_by_its_exit_code(
    make_job: MakeJob, clock: Clock, code: int, done: bool | None
) -> None:
    job = make_job({"simulate": {"exit": code}}, purpose="verify", sleep=clock.sleep)
    assert verdict(await carry_out(job)).done is done


async def test_it_certainly_left_nothing_behind(make_job: MakeJob) -> None:
    job = make_job({"simulate": {}})
    assert (await SimulatedExecutor().evidence(job)).done is False
    assert (await SimulatedExecutor().probe("disk", job))[0]
