#!/usr/bin/env python3
"""Bad input at the processes' own doors: it never ends them, it is counted, and the message says what to do.

What happens inside a decoder or a state machine has unit tests; docs/operations.md names the test of each.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import (Cloud, Edge, Workspace, binaries, free_port, get, get_json, run_command, seeded,  # noqa: E402
                 wait_until)


def says(node, *words, code=1):
    """Starts a node that must refuse, and checks its exit code and words."""
    ran = subprocess.run(node.process.argv, capture_output=True, text=True, timeout=30)
    text = ran.stdout + ran.stderr
    assert ran.returncode == code, f"ended with {ran.returncode}, not {code}: {text}"
    for word in words:
        assert word in text, f"'{word}' is not in: {text}"


def joined(w, cloud, name="edge", **config):
    edge = Edge(w, name, collect={"interval": "200ms", "enabled": ["loadavg"]}, **config)
    edge.join(cloud.invite(file=name + ".token"))
    return edge


def keys_and_tokens(w):
    cloud = Cloud(w).start()
    token = cloud.invite()
    edge = Edge(w, "edge", collect={"interval": "200ms", "enabled": ["loadavg"]})
    says(edge, "has not joined", "skerry invite")
    edge.join(token)
    other = Edge(w, "other")
    refused = subprocess.run([other.binary("skerry-edge"), "join", "--token-file", token, "--data", other.data,
                              "--timeout", "5s"], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1 and "used" in refused.stderr, refused.stderr
    bad = w.write("bad.token", "skerry-join-1.nonsense\n", 0o600)
    refused = subprocess.run([other.binary("skerry-edge"), "join", "--token-file", bad, "--data", other.data],
                             capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1 and "token" in refused.stderr, refused.stderr
    wait_until(lambda: cloud.metric("skerry_ingest_joins_refused_total") > 0, 10, "the used token to be counted")
    edge.start()
    wait_until(lambda: edge.status()["link"]["state"] == "live", 20, "the edge to be live")
    run_command([cloud.binary("skerry"), "--data", cloud.data, "sites", "revoke", edge.status()["edge"]])
    wait_until(lambda: edge.status()["link"]["state"] != "live", 10, "the session to end")
    wait_until(lambda: "revoked" in edge.status()["link"]["refusal"], 20, "the edge to say why")
    wait_until(lambda: cloud.metric("skerry_ingest_refused_sessions_total", 'reason="revoked"') > 0, 30, "the count")
    edge.process.kill()
    edge.start()  # and its next handshake is refused
    wait_until(lambda: cloud.metric("skerry_link_server_refused_total", 'reason="revoked"') > 0, 30, "the count")
    os.chmod(os.path.join(edge.data, "link.key"), 0o644)
    edge.process.stop()
    says(edge, "link.key", "chmod 600")
    cloud.process.stop()


def join(edge, token, code=0, *words):
    """Runs skerry-edge join; it must end with `code` and say `words`."""
    ran = subprocess.run([edge.binary("skerry-edge"), "join", "--token-file", token, "--data", edge.data, "--timeout",
                          "10s"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == code, f"join ended with {ran.returncode}, not {code}: {ran.stdout}{ran.stderr}"
    for word in words:
        assert word in ran.stderr, f"'{word}' is not in: {ran.stderr}"
    assert code != 0 or not os.path.exists(os.path.join(edge.data, "link.key.joining")), os.listdir(edge.data)


def joining_again(w):
    """Wrong tokens, repeated ones, damaged and missing files of an edge that has joined: nothing is used up."""
    cloud = Cloud(w, "again").start()
    edge = Edge(w, "rejoins", collect={"interval": "200ms", "enabled": ["loadavg"]})
    first = cloud.invite(file="first")
    join(edge, first)
    join(edge, first)  # scripts repeat
    edge.start()
    wait_until(lambda: edge.status()["link"]["state"] == "live", 20, "the edge to be live")
    me = edge.status()["edge"]
    edge.process.stop()
    join(edge, first)  # also when the one-time key is refused already
    wrong = cloud.invite(file="wrong")
    join(edge, wrong, 1, "belongs to edge " + me, "skerry invite --edge " + me)
    assert len(cloud.sites()) == 1, cloud.sites()

    def mine(name):
        return w.write(name, run_command([cloud.binary("skerry"), "--data", cloud.data, "invite", "--site", "test",
                                          "--edge", me]), 0o600)
    join(edge, mine("right"))
    join(Edge(w, "newcomer"), wrong)  # the wrong token stayed good for whom it was meant
    with open(os.path.join(edge.data, "identity.json"), "w", encoding="utf-8") as f:
        f.write("{")
    says(edge, "identity.json is damaged", "skerry invite --edge ID")
    join(edge, mine("after-damage"))
    assert os.path.exists(os.path.join(edge.data, "identity.json.damaged"))
    os.remove(os.path.join(edge.data, "link.key"))
    says(edge, "link.key: there is none", "skerry invite --edge ID")
    join(edge, mine("after-loss"))
    os.remove(os.path.join(edge.data, "identity.json"))
    join(edge, cloud.invite(file="stranger"), 1, "belongs to edge " + me)
    join(edge, mine("after-oblivion"))
    edge.start()
    wait_until(lambda: edge.status()["link"]["state"] == "live", 20, "the edge to be live again")
    assert edge.status()["edge"] == me
    edge.process.stop()
    cloud.process.stop()


def hostile_peer(w, rng):
    """Whoever holds a valid key may send anything: each kind is counted, and others go on."""
    cloud = Cloud(w, "besieged").start()
    good = joined(w, cloud, "good").start()
    bad = joined(w, cloud, "bad")
    said = json.loads(run_command([os.path.join(binaries(), "hostile"), "edge", "--data", bad.data, "--seed",
                                   str(rng.randrange(2 ** 32))], 60))
    for kind, name in (("malformed", "skerry_ingest_malformed_total"), ("stale", "skerry_ingest_stale_messages_total")):
        wait_until(lambda: cloud.metric(name) >= said[kind], 20, f"{said[kind]} messages to be counted in {name}")
        assert cloud.metric(name) == said[kind], f"{name}: {cloud.metric(name)}, sent {said[kind]}"
    lines = cloud.process.text().count("is refused:")
    assert 0 < lines <= 25, f"{lines} lines of log about one peer: they are to be limited, and not left out"
    said = json.loads(run_command([os.path.join(binaries(), "hostile"), "join", "--token-file", cloud.invite(file="spare")], 60))
    wait_until(lambda: cloud.metric("skerry_ingest_unauthorized_messages_total") >= said["unauthorized"], 20, "the count")
    samples = cloud.metric("skerry_shard_samples_total")
    wait_until(lambda: cloud.metric("skerry_shard_samples_total") > samples, 20, "the good edge to go on")
    bad.start()  # and the key is as good as before in honest hands
    wait_until(lambda: bad.status()["link"]["state"] == "live", 40, "the edge with that key to be live")
    for node in (good, bad, cloud):
        node.process.stop()


def why_a_target_is_down(w):
    """A target that can't be read is named with the reason, in the log and in /api/v1/targets."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
        cloud = Cloud(w, "watching").start()
        edge = joined(w, cloud, "scraper", scrape_configs=[
            {"job_name": "gone", "scrape_interval": "1s", "static_configs": [{"targets": [nobody]}]},
            {"job_name": "no-ca", "scrape_interval": "1s", "scheme": "https", "tls_config": {"ca_file": "nosuch.pem"},
             "static_configs": [{"targets": [nobody]}]}]).start()

        def down():
            listed = get_json(edge.url + "/api/v1/targets")["data"]["activeTargets"]
            return {t["scrapePool"]: t["lastError"] for t in listed if t["health"] == "down"}
        wait_until(lambda: set(down()) == {"gone", "no-ca"}, 20, "both targets to be down")
        assert all(down().values()), down()
        assert down()["gone"] in edge.process.text().replace('\\"', '"'), edge.process.tail()
        log = edge.process.text()
        assert log.count("job gone: target") == 1, "it is said once, not at every scrape"
        # A reload says what it can't do, and a failed one is seen.
        edge.config["collect"]["interval"] = "300ms"
        edge.config["log"] = {"level": "debug"}
        edge.write_config()
        said = run_command(["curl", "-sS", "-X", "POST", "--unix-socket", os.path.join(edge.data, "operator.sock"),
                            "http://localhost/-/reload"])
        assert "needs a restart: collect.interval" in said and "log.level" in said, said
        assert edge.metric("skerry_config_last_reload_successful") == 1
        edge.config["colect"] = {}
        edge.write_config()
        said = run_command(["curl", "-sS", "-X", "POST", "--unix-socket", os.path.join(edge.data, "operator.sock"),
                            "http://localhost/-/reload"])
        assert "did you mean 'collect'" in said, said
        assert edge.metric("skerry_config_last_reload_successful") == 0
        assert "the configuration was not reloaded" in edge.process.text()
        edge.process.stop()
        cloud.process.stop()


def garbage_on_ports(w, rng):
    cloud = Cloud(w, "ports").start()
    edge = joined(w, cloud, "busy").start()
    wait_until(lambda: cloud.query("node_load1"), 20, "a sample")
    before = cloud.metric("process_start_time_seconds")
    for port in (cloud.link_port, cloud.http_port, edge.http_port):
        for size in (1, 10, 1000, 100_000):
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                try:
                    s.sendall(rng.randbytes(size))
                except OSError:
                    pass  # refused while we were still talking: as good
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    for header in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        try:
            get(cloud.url + "/api/v1/query?query=up", headers=header)
            raise AssertionError(f"{header} was let in")
        except OSError as error:
            assert "403" in str(error) or getattr(error, "status", 0) == 403, error
    assert cloud.metric("skerry_http_refused_total") > 0
    samples = cloud.metric("skerry_shard_samples_total")
    wait_until(lambda: cloud.metric("skerry_shard_samples_total") > samples, 20, "samples to go on")
    assert cloud.metric("process_start_time_seconds") == before
    # Ports in use, and a second process on the same data.
    says(cloud, "ports", "in use by process")
    twin = Cloud(w, "twin")
    twin.config["http"]["listen"] = f"127.0.0.1:{cloud.http_port}"
    twin.write_config()
    says(twin, str(cloud.http_port), "in use")
    twin.config["http"]["listen"] = f"127.0.0.1:{free_port()}"
    twin.config["link"]["bind"] = f"tcp://127.0.0.1:{cloud.link_port}"
    twin.write_config()
    says(twin, str(cloud.link_port), "in use")
    says(edge, "busy", "in use by process")
    edge.process.stop()
    cloud.process.stop()


def configuration_and_directories(w):
    cloud = Cloud(w, "settings")
    cloud.config["htpp"] = {}
    cloud.write_config()
    says(cloud, "settings.yaml:", "htpp", "did you mean 'http'")
    del cloud.config["htpp"]
    for link, words in (({"bind": "127.0.0.1:7481"}, "tcp://ADDRESS:PORT"), ({"advertise": "nohost"}, "HOST:PORT")):
        cloud.config["link"].update(link)
        cloud.write_config()
        says(cloud, "settings.yaml:", words)
        cloud.config["link"].pop(next(iter(link)))
    # What would stop the start the check says too, in the same words; a reload changes nothing by it.
    small = joined(w, Cloud(w, "of-small").start(), "small").start()
    small.config["spool"] = {"bytes_max": "10MiB"}
    small.write_config()
    wrong = "spool.bytes_max: spool: bytes_max is 10485760; it must be at least segment_bytes"
    checked = subprocess.run([small.binary("skerry"), "check", "config", small.config_file], capture_output=True,
                             text=True, timeout=30)
    assert checked.returncode == 1 and wrong in checked.stderr, checked
    small.process.signal(signal.SIGHUP)
    small.process.wait_log(wrong)
    small.process.stop()
    says(small, wrong)
    # The tool finds out for whom a file with a mistyped key is.
    typo = w.write("typo.yaml", "colect: {interval: 5s}\n")
    checked = subprocess.run([cloud.binary("skerry"), "check", "config", typo], capture_output=True, text=True, timeout=30)
    assert checked.returncode == 1 and "typo.yaml:1: colect" in checked.stderr, checked
    assert "did you mean 'collect'" in checked.stderr, checked.stderr
    run_command([cloud.binary("skerry"), "check", "config", w.write("nothing.yaml", "")])
    cloud.config["http"]["listen"] = "0.0.0.0:0"
    cloud.write_config()
    says(cloud, "http.listen", "token_file")
    other = Cloud(w, "other-kind").start()
    other.process.stop()
    edge = Edge(w, "kinds")
    shutil.rmtree(edge.data)
    shutil.copytree(other.data, edge.data, ignore=lambda _, n: [x for x in n if x.endswith(".sock")])
    os.chmod(edge.data, 0o700)
    says(edge, "cloud")  # another kind of node's directory
    if os.geteuid() != 0:
        locked = Cloud(w, "locked")
        os.chmod(locked.data, 0o500)
        says(locked, locked.data)
        os.chmod(locked.data, 0o700)


def flipped_bits(w, rng):
    """Bits flip in every file of a stopped spool and store; both start again, answer, and say what they found."""
    for round_number in range(6):
        name = f"flip{round_number}"
        cloud = Cloud(w, name + "-cloud", store={"log_segment_bytes": "64KiB", "log_bytes_max": "1MiB"}).start()
        edge = joined(w, cloud, name).start()
        wait_until(lambda: cloud.query("node_load1"), 20, "a sample")
        cloud.process.kill()
        wait_until(lambda: edge.pending() > 5, 20, "a backlog")
        edge.process.kill()
        for folder in (os.path.join(edge.data, "spool"), os.path.join(cloud.data, "store")):
            files = [os.path.join(d, f) for d, _, names in os.walk(folder) for f in names if "LOCK" not in f]
            victim = rng.choice([f for f in files if os.path.getsize(f) > 0])
            with open(victim, "r+b") as f:
                for _ in range(3):
                    at = rng.randrange(os.path.getsize(victim))
                    f.seek(at)
                    byte = f.read(1)[0]
                    f.seek(at)
                    f.write(bytes([byte ^ (1 << rng.randrange(8))]))
        cloud.start()
        edge.start()
        wait_until(lambda: edge.status()["link"]["state"] == "live", 40, "the edge to be live again")
        wait_until(lambda: edge.pending() == 0, 40, "the backlog to drain")
        wait_until(lambda: cloud.query("node_load1"), 20, "a sample")
        edge.process.stop()
        cloud.process.stop()


def suspect_segments(w, rng):
    """A segment is cut off and noise is written into another while nobody runs: a child process examines them, commits
    and the link go on, and what is gone is named."""
    cloud = Cloud(w, "suspect-cloud").start()
    edge = joined(w, cloud, "suspect", spool={"segment_bytes": "1MiB"}).start()
    wait_until(lambda: cloud.query("node_load1"), 20, "a sample")
    cloud.process.kill()
    for _ in range(3):  # each start begins a segment
        wait_until(lambda: edge.pending() > 5, 20, "a backlog")
        edge.process.kill()
        edge.start()
    wait_until(lambda: edge.pending() > 5, 20, "a backlog")
    edge.process.kill()
    folder = os.path.join(edge.data, "spool", "segments")
    files = sorted(os.path.join(folder, name, "data.mdb") for name in os.listdir(folder))
    assert len(files) >= 3, files
    with open(files[0], "r+b") as f:
        f.truncate(3 * 4096 + 17)  # the last pages of a file may be free ones: hardly more than the two meta pages stays
    with open(files[1], "r+b") as f:
        for page in range(2 * 4096, os.path.getsize(files[1]), 4096):
            f.seek(page + 2048)  # to the end of each page, where its entries are: the middle may be free
            f.write(rng.randbytes(2048))
    cloud.start()
    edge.start()
    wait_until(lambda: edge.status()["link"]["state"] == "live", 40, "the edge to be live again")
    wait_until(lambda: edge.metric("skerry_spool_segments_damaged_total") >= 2, 40, "both segments to be set aside")
    wait_until(lambda: edge.pending() == 0, 40, "the backlog to drain")
    def examined(how):
        return edge.metric("skerry_spool_examinations_total", f'result="{how}"')

    assert examined("damaged") >= 2, "no child process examined them"
    assert examined("crashed") + examined("timed_out") + examined("not_started") == 0
    edge.process.stop()
    cloud.process.stop()


def main():
    rng = random.Random(seeded().seed_used)
    with Workspace("bad-input") as w:
        keys_and_tokens(w)
        print("keys and tokens: refused, counted, explained")
        joining_again(w)
        print("joining again: wrong tokens use up nothing, damaged files are put right")
        hostile_peer(w, rng)
        print("hostile peer with a valid key: refused and counted, others go on")
        why_a_target_is_down(w)
        print("targets that are down: named with the reason; reloads say what they can't do")
        garbage_on_ports(w, rng)
        print("garbage on ports: nothing ended, refused and counted")
        configuration_and_directories(w)
        print("configuration and directories: refused with what to do")
        flipped_bits(w, rng)
        print("flipped bits: both nodes came back alone")
        suspect_segments(w, rng)
        print("suspect segments: a child process examined them")
    print("passed")


if __name__ == "__main__":
    main()
