"""A config that cannot be used is refused with its field, its value, the rule and the remedy."""

import codecs
import json
import tomllib
import traceback
from pathlib import Path

import pytest
from eth_account import Account

from worker.config import EXAMPLE, Config, ConfigError, KeyConfig, PricingConfig, load_account

KEY = "0x" + "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"[:64]


def entries(**sections):
    """A config that is right, changed."""
    given = {
        "chain": {"rpc": "http://127.0.0.1:8545", "deployment": "local.json"},
        "data": {"folder": "data", "store": "store"},
    }
    for name, fields in sections.items():
        if fields is None:
            del given[name]
        else:
            given[name] = {**given.get(name, {}), **fields}
    return given


def load(tmp_path, text, environment=None):
    path = tmp_path / "worker.toml"
    path.write_text(text)
    return Config.load(path, environment or {})


def test_the_example_is_a_config(tmp_path):
    config = load(tmp_path, EXAMPLE)
    assert config.worker.roles == ("solver", "verifier")
    assert config.chain.deployment == tmp_path / "deployments/local.json"


def test_the_example_names_every_field():
    for section, cls in Config.__annotations__.items():
        for field in __import__("worker.config", fromlist=[cls]).__dict__[cls].__annotations__:
            assert f"\n{field} = " in EXAMPLE or f"\n# {field} = " in EXAMPLE, (section, field)


def test_defaults_are_those_of_the_example(tmp_path):
    given = tomllib.loads(EXAMPLE)
    small = {name: given[name] for name in ("chain", "data")}
    assert Config.from_entries(small) == Config.from_entries(given)


def test_paths_are_relative_to_the_config(tmp_path):
    config = Config.from_entries(entries(data={"cache": "/far/cache"}), tmp_path)
    assert config.data.folder == tmp_path / "data"
    assert config.data.store == str(tmp_path / "store")
    assert config.data.cache == Path("/far/cache")
    far = Config.from_entries(entries(data={"store": "s3://bucket/x"}), tmp_path)
    assert far.data.store == "s3://bucket/x"


@pytest.mark.parametrize(
    "sections, said",
    [
        ({"chain": {"rpc": "localhost:8545"}}, r"chain\.rpc \(or ASSAY_RPC\) must be an http"),
        ({"chain": {"rpc": 1}}, r"chain\.rpc = 1: must be text in quotes"),
        ({"chain": {"poll_seconds": 0}}, r"chain\.poll_seconds = 0\.0: must be above 0; try 5"),
        ({"chain": {"poll_seconds": float("nan")}}, "must be above 0"),
        ({"chain": {"timeout_seconds": -1}}, r"chain\.timeout_seconds = -1\.0"),
        ({"chain": {"confirmations": -1}}, r"chain\.confirmations = -1: must be at least 0"),
        ({"chain": {"confirmations": 1.5}}, "must be a whole number; it is a float"),
        ({"chain": {"confirmations": True}}, "must be a whole number; it is a bool"),
        ({"chain": {"block": 1}}, r"chain\.block is no field; \[chain\] has rpc, deployment"),
        ({"chain": None}, r"\[chain\] is missing"),
        ({"data": {"store": ""}}, r"data\.store = '': must name"),
        ({"data": {"folder": ""}}, r"data\.folder = '': must be a path"),
        ({"data": {"folder": "/etc/hostname"}}, "is a file; name a folder"),
        ({"worker": {"roles": ["judge"]}}, r"worker\.roles = \['judge'\]: must be some of solver"),
        ({"worker": {"roles": []}}, "must be some of"),
        ({"worker": {"roles": ["solver", "solver"]}}, "each once"),
        ({"worker": {"roles": "solver"}}, "must be a list of texts"),
        ({"worker": {"native": 1}}, r"worker\.native = 1: must be true or false; it is a int"),
        (
            {"worker": {"device": "gpu"}},
            r"worker\.device = 'gpu': must be auto, cpu, cuda or cuda:N",
        ),
        ({"worker": {"threads": -1}}, r"worker\.threads = -1: must be at least 0"),
        ({"worker": {"address": "0x12"}}, r"worker\.address = '0x12': must be an address"),
        ({"pricing": {"fixed": 5}}, r"pricing\.fixed is no field; \[pricing\] has hour, coin"),
        ({"pricing": {"hour": -1.0}}, r"pricing\.hour = -1\.0: must be at least 0"),
        ({"pricing": {"hour": 0.0}}, r"pricing\.hour = 0\.0: must be above 0 where pricing\.coin"),
        ({"pricing": {"fraction": 1.5}}, r"pricing\.fraction = 1\.5: must be above 0 and at most"),
        ({"jobs": {"max_steps": 0}}, r"jobs\.max_steps = 0: must be at least 1"),
        ({"metrics": {"port": 70_000}}, r"metrics\.port = 70000: must lie in 0\.\.65535"),
        ({"oracle": {}}, r"\[oracle\] is no section; there are \[chain\]"),
    ],
)
def test_what_is_wrong_is_named(sections, said):
    with pytest.raises(ConfigError, match=said):
        Config.from_entries(entries(**sections))


def test_a_missing_field_is_named():
    given = entries()
    del given["chain"]["deployment"]
    with pytest.raises(ConfigError, match=r"chain\.deployment is missing"):
        Config.from_entries(given)


def test_a_section_that_is_no_table_is_named():
    with pytest.raises(ConfigError, match=r"worker = 3: must be a table"):
        Config.from_entries({**entries(), "worker": 3})


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(ConfigError, match="python -m worker init"):
        Config.load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="is not TOML"):
        load(tmp_path, "[chain")


# --- secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        f'[worker]\nnote = "{KEY}"',
        f'[worker]\naddress = "{KEY[2:]}"',
        f'[worker]\nroles = ["{KEY}"]',
        '[key]\npassword = "open sesame"',
        '[key]\nprivate_key = "abc"',
        'key = "abc"',
        '[key]\nmnemonic = "x"',
        f'[data]\nfolder = "{"test " * 11}junk"',
    ],
)
def test_a_key_in_the_config_is_refused_and_not_repeated(tmp_path, line):
    with pytest.raises(ConfigError, match="may not stand in a config") as refused:
        load(tmp_path, line)
    for secret in (KEY, KEY[2:], "open sesame", "test test"):
        assert secret not in str(refused.value)


def test_a_password_in_the_rpcs_url_is_refused_and_not_repeated():
    with pytest.raises(ConfigError, match="ASSAY_RPC") as refused:
        Config.from_entries(entries(chain={"rpc": "https://me:hunter2@node.example"}))
    assert "hunter2" not in str(refused.value)


def test_the_environment_may_name_the_node(tmp_path):
    config = load(tmp_path, EXAMPLE, {"ASSAY_RPC": "https://node.example/v2/abc"})
    assert config.chain.rpc == "https://node.example/v2/abc"


def test_no_key_is_dry_mode():
    assert load_account(KeyConfig(), {}) is None


def test_the_key_comes_from_the_environment_or_a_file(tmp_path):
    address = Account.from_key(KEY).address
    assert load_account(KeyConfig(), {"ASSAY_KEY": KEY}).address == address
    (tmp_path / "key").write_text(KEY[2:] + "\n")
    assert load_account(KeyConfig(), {"ASSAY_KEY_FILE": f"{tmp_path}/key"}).address == address


def test_the_key_comes_from_a_keystore(tmp_path):
    path = tmp_path / "keystore.json"
    path.write_text(json.dumps(Account.encrypt(KEY, "sesame", kdf="pbkdf2", iterations=2)))
    config = KeyConfig(keystore=path)
    (tmp_path / "password").write_text("sesame\n")
    by_file = {"ASSAY_PASSWORD_FILE": str(tmp_path / "password")}
    for environment in ({"ASSAY_PASSWORD": "sesame"}, by_file):
        assert load_account(config, environment).address == Account.from_key(KEY).address
    with pytest.raises(ConfigError, match="needs its password"):
        load_account(config, {})
    with pytest.raises(ConfigError, match="password is wrong") as refused:
        load_account(config, {"ASSAY_PASSWORD": "hunter2"})
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_account(KeyConfig(keystore=tmp_path / "none"), {"ASSAY_PASSWORD": "x"})


def test_keys_that_are_none_or_two_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds no key") as refused:
        load_account(KeyConfig(), {"ASSAY_KEY": "hunter2"})
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ConfigError, match="both given"):
        load_account(KeyConfig(), {"ASSAY_KEY": KEY, "ASSAY_KEY_FILE": "x"})
    with pytest.raises(ConfigError, match=r"ASSAY_KEY_FILE = .* cannot be read"):
        load_account(KeyConfig(), {"ASSAY_KEY_FILE": str(tmp_path / "none")})


# --- prices --------------------------------------------------------------------------------------


def test_a_ceiling_is_exact_for_any_amount():
    pricing = PricingConfig(fraction=0.9)
    assert pricing.ceiling(10**30) == 9 * 10**29
    assert pricing.ceiling(1) == 0


# --- files as people's editors write them --------------------------------------------------------

MARKED = [("utf-8", b""), ("utf-8", codecs.BOM_UTF8), ("utf-16-le", codecs.BOM_UTF16_LE)]


@pytest.mark.parametrize("encoding, mark", MARKED)
def test_configs_and_keys_may_begin_with_a_mark(tmp_path, encoding, mark):
    """Protects users of Windows' editors and shells, which mark what they write."""
    (tmp_path / "key").write_bytes(mark + f"{KEY}\r\n".encode(encoding))
    address = Account.from_key(KEY).address
    assert load_account(KeyConfig(), {"ASSAY_KEY_FILE": f"{tmp_path}/key"}).address == address
    path = tmp_path / "worker.toml"
    path.write_bytes(mark + EXAMPLE.encode(encoding))
    assert Config.load(path, {}) == load(tmp_path, EXAMPLE)


def test_a_tilde_is_the_users_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").write_text(KEY)
    address = Account.from_key(KEY).address
    assert load_account(KeyConfig(), {"ASSAY_KEY_FILE": "~/key"}).address == address

    def homeless(self):
        if str(self).startswith("~"):
            raise RuntimeError("Could not determine home directory.")
        return self

    monkeypatch.setattr(Path, "expanduser", homeless)
    with pytest.raises(ConfigError, match=r"'~/key' cannot be read \(this user has no home that ~"):
        load_account(KeyConfig(), {"ASSAY_KEY_FILE": "~/key"})
    with pytest.raises(ConfigError, match=r"data.folder = '~/data': this user has no home that"):
        load(tmp_path, EXAMPLE.replace('folder = ".assay"', 'folder = "~/data"'))


@pytest.mark.parametrize(
    "content, said",
    [
        (None, r"'.*/key' cannot be read \(No such file or directory\)"),
        ("folder", r"'.*/key' cannot be read \(Is a directory\)"),
        (b"\xff\x00hidden\xfe", r"'.*/key' cannot be read \(it is not text in UTF-8\)"),
        (b"hunter2", r"'.*/key' holds no key: it must be 64 hex digits"),
        (b"", r"'.*/key' holds no key"),
    ],
)
def test_a_key_file_that_is_none_is_named_and_not_repeated(tmp_path, content, said):
    """Protects the key: whatever is wrong with its file, no byte of it is shown."""
    path = tmp_path / "key"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"^ASSAY_KEY_FILE = {said}") as refused:
        load_account(KeyConfig(), {"ASSAY_KEY_FILE": str(path)})
    shown = "".join(traceback.format_exception(refused.value))
    assert not any(word in shown for word in ("hunter2", "hidden", "xff"))


def test_a_key_that_others_may_read_is_told(tmp_path, caplog):
    path = tmp_path / "key"
    path.write_text(KEY)
    for mode, warnings in ((0o600, 0), (0o644, 1)):
        path.chmod(mode)
        load_account(KeyConfig(), {"ASSAY_KEY_FILE": str(path)})
        assert len(caplog.records) == warnings
    assert "may be read by other users of this machine (mode 644): chmod 600 it" in caplog.text
    assert KEY not in caplog.text
