"""Commands in real containers: outputs, exit codes, input, and what goes wrong."""

from __future__ import annotations

import pytest

from pytest_k8sha import _clock
from pytest_k8sha.errors import ApiError, TransportError
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.kube.execute import Executed, execute
from tests.kind import kind_clusters
from tests.kind.kind_clusters import Images


class Shell:
    """A container with a shell."""

    def __init__(self, cluster: Cluster, namespace: str, pod: str) -> None:
        self.cluster, self.namespace, self.pod = cluster, namespace, pod

    def run(self, *words: str, stdin: bytes = b"", timeout: float = 20) -> Executed:
        return execute(self.cluster.client, self.pod, self.namespace, words, stdin=stdin, timeout=timeout)


@pytest.fixture(scope="module")
def shell(kind_cluster: Cluster, images: Images) -> Shell:
    namespace = kind_cluster.create_namespace("exec")
    made = kind_clusters.pod(
        kind_cluster, namespace, images.shell, ["-c", "while :; do sleep 3600; done"], command=["/bin/sh"]
    )
    return Shell(kind_cluster, namespace, made["metadata"]["name"])


def test_outputs_are_kept_apart(shell: Shell) -> None:
    """Standard output and error arrive each in its own place, and the exit code is 0."""
    assert shell.run("sh", "-c", "echo out; echo err >&2") == Executed(0, "out\n", "err\n")


def test_the_exit_code_is_told(shell: Shell) -> None:
    """An exit code is an answer and no error; no output is an answer, too."""
    assert shell.run("sh", "-c", "exit 3") == Executed(3, "", "")


def test_input_reaches_the_command(shell: Shell) -> None:
    """What is given as input comes out of `head`, which reads as many bytes as it was told."""
    text = b"nonce\n" * 1000
    assert shell.run("head", "-c", str(len(text)), stdin=text).stdout.encode() == text


def test_the_end_of_the_input_is_told(shell: Shell) -> None:
    """`cat` ends by itself, since it sees that the input has ended."""
    assert shell.run("cat", stdin=b"all of it") == Executed(0, "all of it", "")


def test_long_output_is_whole(shell: Shell) -> None:
    """A mebibyte arrives to its last byte."""
    assert len(shell.run("sh", "-c", "head -c 1048576 /dev/zero | tr '\\0' x").stdout) == 1048576


def test_words_are_not_split(shell: Shell) -> None:
    """No shell stands between: blanks, quotes and dollars arrive as they were given."""
    text = "a  b 'c' \"d\" $HOME *"
    assert shell.run("printf", "%s", text).stdout == text


def test_a_command_that_is_not_there(shell: Shell) -> None:
    """A command that cannot be started is an error, never an exit code of the command."""
    with pytest.raises(ApiError) as error:
        shell.run("no-such-command")
    assert "no-such-command" in str(error.value)


def test_a_pod_that_is_not_there(shell: Shell) -> None:
    """The server's 404 is told as such."""
    with pytest.raises(ApiError) as error:
        execute(shell.cluster.client, "no-such-pod", shell.namespace, ["true"])
    assert error.value.status == 404


def test_a_command_that_hangs(shell: Shell) -> None:
    """The deadline holds for the whole, and what passed it is a time-out."""
    clock = _clock.Deadline(10)
    with pytest.raises(TransportError) as error:
        shell.run("sleep", "60", timeout=2)
    assert error.value.kind == "timeout"
    assert clock.spent < 6
