"""A node, and workers' folders and processes."""

import json
import subprocess
import sys

import pytest

from tests.chain import chains
from tests.chain.conftest import node  # noqa: F401
from worker import daemon
from worker.config import Config


class Home:
    """One worker: its config, its key, its processes."""

    def __init__(self, folder, w3, deployment):
        self.w3 = w3
        self.account = chains.funded(w3)
        self.folder = folder
        self.config = folder / "worker.toml"
        self.key = folder / "key"
        self.key.write_text(self.account.key.hex() + "\n")
        deployment.save(folder / "registry.json")
        self.write_config()
        self._running = []

    def write_config(self, data=".assay", poll=0.05, more=""):
        rpc = self.w3.provider.endpoint_uri
        self.config.write_text(
            f'[chain]\nrpc = "{rpc}"\ndeployment = "registry.json"\npoll_seconds = {poll}\n'
            f'timeout_seconds = 30\n[data]\nfolder = "{data}"\nstore = "store"\n{more}'
        )

    @property
    def outbox(self):
        return self.folder / ".assay" / "outbox.json"

    def start(self, *options, role, key=True, **more):
        """A daemon that plays a role of `tests.daemon.roles`."""
        secret = {"ASSAY_KEY_FILE": str(self.key)} if key else {}
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "worker", "run", "--config", str(self.config), "--json"),
                *("--roles", f"tests.daemon.roles:{role}", *options),
            ],
            env=chains.environment(**secret, STUB_FOLDER=str(self.folder), **more),
            cwd=chains.ROOT,
            stderr=(self.folder / "log").open("a"),
        )
        self._running.append(process)
        return process

    def play(self, role, key=True):
        """One round of a role, in this process; whether it went well."""
        account = self.account if key else None
        config = Config.load(self.config, {})
        return daemon.run(config, account, once=True, build=f"tests.daemon.roles:{role}")

    def wait(self, process):
        """The exit code, which comes in time."""
        return process.wait(timeout=chains.DEADLINE)

    def log(self):
        """Every record of every process; each line of it is JSON, but for the CLI's own error."""
        lines = (self.folder / "log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def messages(self):
        return [record["message"] for record in self.log()]

    def kill_all(self):
        for process in self._running:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def home(node, tmp_path):  # noqa: F811
    worker = Home(tmp_path, *node)
    yield worker
    worker.kill_all()
