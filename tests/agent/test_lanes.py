import threading

import pytest
import torch

from agent.lanes import LANES, alone, lanes

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _as_before() -> object:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_lanes_work_side_by_side_on_their_share_of_the_cores() -> None:
    torch.set_num_threads(4)
    meeting = threading.Barrier(LANES, timeout=30)

    def work(_: int) -> int:
        meeting.wait()  # breaks unless all lanes come
        return torch.get_num_threads()

    with lanes(CPU) as pool:
        assert list(pool.map(work, range(LANES))) == [4 // LANES] * LANES
    assert torch.get_num_threads() == 4


def test_one_core_and_a_gpu_have_one_lane() -> None:
    for threads, device in ((1, CPU), (4, torch.device("cuda"))):
        torch.set_num_threads(threads)
        with lanes(device) as pool:
            names = set(pool.map(lambda _: threading.current_thread().name, range(8)))
        assert names == {threading.current_thread().name} and torch.get_num_threads() == threads


def test_an_error_in_the_only_lane_comes_back() -> None:
    torch.set_num_threads(1)
    with lanes(CPU) as pool, pytest.raises(ZeroDivisionError):
        list(pool.map(lambda n: 1 // n, [1, 0]))


def test_fewer_lanes_have_more_threads() -> None:
    torch.set_num_threads(4)
    with lanes(CPU, 1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 4


def test_what_is_done_alone_takes_one_core() -> None:
    torch.set_num_threads(4)
    with alone():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4
