"""Three etcd members on loopback, in folders of their own: to be asked, counted, killed and started again."""

import ctypes
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

PR_SET_PDEATHSIG = 1


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def ports(count):
    # All are bound at once, so that they differ.
    taken = [socket.socket() for _ in range(count)]
    for it in taken:
        it.bind(("127.0.0.1", 0))
    numbers = [it.getsockname()[1] for it in taken]
    for it in taken:
        it.close()
    return numbers


class Members:
    """`with` kills them."""

    def __init__(self, folder):
        self.folder = folder
        numbers = ports(6)
        self.peers, self.clients = numbers[:3], numbers[3:]
        self.running = [None] * 3

    @property
    def endpoints(self):
        return [f"127.0.0.1:{port}" for port in self.clients]

    def __enter__(self):
        for nth in range(3):
            self.start(nth)
        self.wait()
        return self

    def __exit__(self, *_):
        for nth in range(3):
            self.kill(nth)

    def start(self, nth):
        cluster = ",".join(f"m{i}=http://127.0.0.1:{port}" for i, port in enumerate(self.peers))
        client, peer = f"http://127.0.0.1:{self.clients[nth]}", f"http://127.0.0.1:{self.peers[nth]}"
        words = ["etcd", "--name", f"m{nth}", "--data-dir", self.folder / f"m{nth}", "--initial-cluster", cluster,
                 "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 # As docs/cluster.md asks for.
                 "--snapshot-count", "1000", "--quota-backend-bytes", "8589934592", "--logger", "zap", "--log-level", "error"]
        with open(self.folder / f"m{nth}.log", "ab") as log:
            self.running[nth] = subprocess.Popen(words, stdout=log, stderr=log, preexec_fn=die_with_parent)

    def kill(self, nth):
        self.running[nth].kill()
        self.running[nth].wait()

    def healthy(self, nth):
        try:
            with urllib.request.urlopen(f"http://{self.endpoints[nth]}/health", timeout=1) as answer:
                return b'"true"' in answer.read()
        except (OSError, urllib.error.URLError):
            return False

    def wait(self):
        for _ in range(600):
            if all(self.healthy(nth) for nth in range(3)):
                return
            time.sleep(0.1)
        raise RuntimeError("the members are not healthy after a minute")

    def metrics(self, nth):
        with urllib.request.urlopen(f"http://{self.endpoints[nth]}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        found = {}
        for name, value in re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", text, re.M):
            found[name] = float(value)
        return found

    def leader(self):
        return next(nth for nth in range(3) if self.metrics(nth).get("etcd_server_is_leader") == 1)

    def handled(self, nth):
        """Requests for keys that a member answered."""
        return sum(value for name, value in self.metrics(nth).items() if name.startswith("grpc_server_handled_total")
                   and 'grpc_method="Txn"' in name)

    def counts(self):
        """Transactions that all members answered, reads and writes, and what the cluster agreed on, writes alone."""
        handled = sum(self.handled(nth) for nth in range(3))
        agreed = max(self.metrics(nth)["etcd_server_proposals_committed_total"] for nth in range(3))
        return handled, agreed

    def move_leader(self, to):
        """Makes a member the leader."""
        if (leader := self.leader()) == to:
            return
        out = subprocess.run(["etcdctl", "--endpoints", self.endpoints[to], "endpoint", "status"], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
        subprocess.run(["etcdctl", "--endpoints", self.endpoints[leader], "move-leader", out.split(",")[1].strip()], check=True,
                       stdout=subprocess.DEVNULL)
        while self.leader() != to:
            time.sleep(0.05)
