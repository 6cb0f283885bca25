#!/usr/bin/env python3
"""Holds our host metrics against prometheus-node-exporter on the same machine.

Starts the exporter on an ephemeral loopback port with the collectors that both have, and reads: exporter, ours,
exporter. For each series that the exporter reports, ours must have one with the same name, labels and type; counters
must lie between the two readings of the exporter, gauges between them or within 5 %. Labels that our own pipeline
adds (job, instance, site, host) are ignored, and so are the exporter's series about itself.

A host changes while it is read, so a difference counts only when it shows in every one of --rounds rounds.

  node_exporter_parity.py --skerry-command build/dev/bin/host_collectors_dump --node-exporter PATH
  node_exporter_parity.py --skerry-url http://127.0.0.1:7490/metrics         --node-exporter PATH   (Prometheus text)
  node_exporter_parity.py --skerry-url http://127.0.0.1:7480 --match 'instance="a"' --node-exporter PATH (query API)
  node_exporter_parity.py --fixture --skerry-command … --node-exporter PATH

--fixture compares both on made-up /proc and /sys trees with hardware that this machine may lack.
Exit status: 0 no differences, 1 differences (listed), 2 the comparison could not be made.
"""

import argparse
import contextlib
import http.client
import json
import math
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

COLLECTORS = [
    "cpu", "cpufreq", "diskstats", "entropy", "filefd", "filesystem", "hwmon", "loadavg", "meminfo", "netclass",
    "netdev", "netstat", "os", "pressure", "processes", "sockstat", "softnet", "stat", "thermal_zone", "time", "timex",
    "uname", "vmstat",
]
IGNORED_LABELS = {"job", "instance", "site", "host"}
ABOUT_ITSELF = re.compile(r"^(go_|process_|promhttp_|node_exporter_build_info$)")

# Must exist; their values are another moment's by nature.
EXISTENCE_ONLY = re.compile(
    r"^(node_scrape_collector_duration_seconds"  # how long each side took
    r"|node_time_seconds"                        # the moment itself; the readings' order is checked with it
    r"|node_procs_(running|blocked)"             # whoever runs just now, the reader among them
    r"|node_disk_io_now"                         # operations under way just now
    r"|node_memory_(Dirty|Writeback)_bytes)$"    # sawtooth between flushes
)
# Exist only while some process is in that state, so they may be missing as well.
MAY_BE_MISSING = re.compile(r"^node_processes_(threads_)?state$")
MAY_BE_MISSING_STATES = {"R", "D", "Z", "X", "x", "K", "P", "W"}

GAUGE_TOLERANCE = 0.05
ROUNDING = 1e-9
HTTP_TIMEOUT_SECONDS = 10
START_TIMEOUT_SECONDS = 10
PAUSE_SECONDS = 0.5  # between rounds, so that they see the host in different moments


class Failed(Exception):
    """The comparison cannot be made."""


# --- Prometheus text -------------------------------------------------------------------------------------------------

LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*,?')
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def series_key(name, labels):
    kept = {k: v for k, v in labels.items() if v != "" and k not in IGNORED_LABELS and k != "__name__"}
    return name, tuple(sorted(kept.items()))


def show(key):
    name, labels = key
    return name + ("{" + ",".join(f'{k}="{v}"' for k, v in labels) + "}" if labels else "")


def parse_text(text):
    """Samples by key, and types by family name."""
    samples, types = {}, {}
    for line in text.split("\n"):
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ", 3)
            types[name] = kind.strip()
        if not line or line.startswith("#"):
            continue
        name = re.match(r"[a-zA-Z_:][a-zA-Z0-9_:]*", line)
        if not name:
            raise Failed(f"not Prometheus text: {line!r}")
        at, labels = name.end(), {}
        if line[at:at + 1] == "{":
            at += 1
            while line[at] != "}":
                label = LABEL.match(line, at)
                if not label:
                    raise Failed(f"not Prometheus text: {line!r}")
                labels[label[1]] = re.sub(r"\\.", lambda m: ESCAPES.get(m[0], m[0]), label[2])
                at = label.end()
            at += 1
        key = series_key(name[0], labels)
        if key in samples:
            raise Failed(f"twice in one reading: {show(key)}")
        samples[key] = float(line[at:].split()[0])
    return samples, types


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=HTTP_TIMEOUT_SECONDS) as answer:
            return answer.read().decode()
    except (OSError, urllib.error.URLError) as e:
        raise Failed(f"cannot read {url}: {e}; is it running?") from e


def get_again(connection):
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException) as e:
        raise Failed(f"cannot read node_exporter again: {e}") from e


# --- the two sides ---------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def node_exporter(path, collectors, extra):
    """Runs the exporter; yields a function that reads it."""
    command = [path, "--web.listen-address=127.0.0.1:0", "--web.disable-exporter-metrics",
               "--collector.disable-defaults", *(f"--collector.{c}" for c in collectors), *extra]
    with tempfile.TemporaryFile("w+") as log:
        try:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        except OSError as e:
            raise Failed(f"cannot start {path}: {e}; Debian's package is prometheus-node-exporter") from e
        try:
            address, deadline = None, time.monotonic() + START_TIMEOUT_SECONDS
            while address is None:
                log.seek(0)
                text = log.read()
                found = re.search(r'msg="Listening on" address=(127\.0\.0\.1:\d+)', text)
                if found:
                    address = found[1]
                elif process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"{path} does not start:\n{text}")
                else:
                    time.sleep(0.02)
            # One connection for all readings: it is open while ours are read too, and each side counts its sockets.
            connection = http.client.HTTPConnection(address, timeout=HTTP_TIMEOUT_SECONDS)
            yield lambda: parse_text(get_again(connection))
        finally:
            process.terminate()
            process.wait()


def from_command(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{shlex.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return parse_text(done.stdout)


class QueryApi:
    """Our cloud's query API."""

    def __init__(self, base, match, wait_seconds):
        self.base, self.match, self.wait_seconds = base.rstrip("/"), match, wait_seconds

    def ask(self, path, **parameters):
        url = f"{self.base}/api/v1/{path}?{urllib.parse.urlencode(parameters, doseq=True)}"
        answer = json.loads(get(url))
        if answer.get("status") != "success":
            raise Failed(f"{url}: {answer}")
        return answer["data"]

    def selector(self, names):
        return "{" + ",".join([f'__name__=~"{names}"', *([self.match] if self.match else [])]) + "}"

    def read(self, after):
        """Everything of the first collection that happened after that time."""
        deadline = time.monotonic() + self.wait_seconds
        while True:
            result = self.ask("query", query=self.selector("node_.+"))["result"]
            samples = {}
            for one in result:
                key = series_key(one["metric"]["__name__"], one["metric"])
                if key in samples:
                    raise Failed(f"several instances have {show(key)}; choose one with --match 'instance=\"NAME\"'")
                samples[key] = float(one["value"][1])
            if samples.get(("node_time_seconds", ()), 0) > after:
                break
            if time.monotonic() > deadline:
                raise Failed(f"{self.base} has had no new collection for {self.wait_seconds} s; does the edge run?")
            time.sleep(0.05)
        listed = {series_key(s["__name__"], s) for s in self.ask("series", **{"match[]": self.selector("node_.+")})}
        for key in samples.keys() - listed:
            raise Failed(f"/api/v1/query has {show(key)} and /api/v1/series has not")
        types = {name: told[0]["type"] for name, told in self.ask("metadata").items() if told}
        return samples, types


def reader_of(arguments):
    """A function(time) that reads our side, with data no older than that time."""
    if arguments.skerry_command:
        command = shlex.split(arguments.skerry_command)
        return lambda after: from_command(command)
    if urllib.parse.urlparse(arguments.skerry_url).path.rstrip("/"):
        return lambda after: parse_text(get(arguments.skerry_url))
    return QueryApi(arguments.skerry_url, arguments.match, arguments.wait).read


# --- the comparison --------------------------------------------------------------------------------------------------

def same_type(theirs, ours):
    return theirs == ours or {theirs, ours} <= {"untyped", "unknown"}


def value_wrong(kind, before, ours, after):
    """What is wrong with a value, or None."""
    low, high = min(before, after), max(before, after)
    slack = ROUNDING * max(abs(low), abs(high), 1e-300)
    if low - slack <= ours <= high + slack or (math.isnan(before) and math.isnan(ours)):
        return None
    if kind != "counter" and any(abs(ours - v) <= GAUGE_TOLERANCE * abs(v) for v in (before, after)):
        return None
    return f"{ours!r} is not between {before!r} and {after!r}" + ("" if kind == "counter" else " nor within 5 %")


def differences(collectors, before, ours, after):
    """What is wrong, by series; and how many series were compared."""
    (was, types), (mine, my_types), (is_, _) = before, ours, after
    wrong, compared = {}, 0
    for key in sorted(was.keys() & is_.keys()):  # what came or went in between says nothing
        name, labels = key[0], dict(key[1])
        if ABOUT_ITSELF.match(name) or labels.get("collector", collectors[0]) not in collectors:
            continue
        compared += 1
        if key not in mine:
            state = labels.get("state") or labels.get("thread_state")
            if not (MAY_BE_MISSING.match(name) and state in MAY_BE_MISSING_STATES):
                wrong[key] = "is missing"
            continue
        if not same_type(types.get(name), my_types.get(name)):
            wrong[key] = f"has type {my_types.get(name)}, not {types.get(name)}"
        elif not EXISTENCE_ONLY.match(name) and not MAY_BE_MISSING.match(name):
            what = value_wrong(types.get(name), was[key], mine[key], is_[key])
            if what:
                wrong[key] = what
    return wrong, compared


def compare(arguments, read_ours, extra=()):
    collectors = arguments.collectors.split(",")
    with node_exporter(arguments.node_exporter, collectors, extra) as read_exporter:
        read_exporter()  # the first reading opens and allocates
        lasting, compared, beyond = None, 0, 0
        for number in range(arguments.rounds):
            time.sleep(PAUSE_SECONDS * min(number, 1))
            before = read_exporter()
            ours = read_ours(before[0].get(("node_time_seconds", ()), 0))
            after = read_exporter()
            wrong, compared = differences(collectors, before, ours, after)
            beyond = len(ours[0].keys() - before[0].keys())
            lasting = wrong if lasting is None else {k: wrong[k] for k in lasting.keys() & wrong.keys()}
            if not lasting:
                break
    for key in sorted(lasting):
        print(f"DIFFERENT {show(key)} {lasting[key]}")
    print(f"{compared} series of node_exporter compared, {len(lasting)} differ; {beyond} series are only ours")
    return not lasting


# --- made-up trees, for hardware that is not here ----------------------------------------------------------------------

FIXTURE = {
    "proc/stat": "cpu  4 4 4 4\ncpu0 1000 20 300 40000 50 6 70 8 9 10\ncpu2 2000 30 400 50000 60 7 80 9 10 11\n"
                 "intr 12345 1 2 3\nctxt 67890\nbtime 1700000000\nprocesses 4242\nprocs_running 3\nprocs_blocked 1\n",
    "proc/meminfo": "MemTotal:  16000000 kB\nActive(anon):  12 kB\nHugePages_Total:   7\n",
    "proc/vmstat": "nr_free_pages 12\npgpgin 77\npgfault 88\noom_kill 1\n",
    "proc/loadavg": "0.25 1.50 2.75 2/345 6789\n",
    "proc/sys/fs/file-nr": "1024\t0\t65536\n",
    "proc/sys/kernel/random/entropy_avail": "200\n",
    "proc/sys/kernel/random/poolsize": "256\n",
    "proc/sys/kernel/threads-max": "7777\n",
    "proc/sys/kernel/pid_max": "8888\n",
    "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n",
    "proc/pressure/io": "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n"
                        "full avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n",
    "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=3500000\n"
                            "full avg10=0.00 avg60=0.00 avg300=0.00 total=700000\n",
    "proc/diskstats": "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n   8       1 sda1 1 2 3 4 5 6 7 8 9 10 11\n"
                      " 259       0 nvme0n1 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25\n"
                      " 253       0 dm-0 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47\n",
    "udev/b8:0": "S:disk/by-id/x\nE:ID_ATA=1\nE:ID_MODEL=SPINNER_4000\nE:ID_PATH=pci-0000:00:1f.2-ata-1\n"
                 "E:ID_SERIAL_SHORT=S1\nE:ID_REVISION=R7\nE:ID_WWN=0x50\nE:ID_ATA_WRITE_CACHE=1\n"
                 "E:ID_ATA_WRITE_CACHE_ENABLED=0\nE:ID_ATA_ROTATION_RATE_RPM=7200\n",
    "udev/b253:0": "E:DM_NAME=vg-data\nE:DM_UUID=LVM-abc\nE:DM_VG_NAME=vg\nE:DM_LV_NAME=data\nE:ID_FS_TYPE=ext4\n"
                   "E:ID_FS_USAGE=filesystem\nE:ID_FS_UUID=u-u\nE:ID_FS_VERSION=1.0\n",
    "proc/net/dev": "Inter-|   Receive     |  Transmit\n face |bytes packets\n"
                    "  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n",
    "proc/net/netstat": "TcpExt: SyncookiesSent ListenDrops Other\nTcpExt: 5 6 7\nIpExt: InOctets\nIpExt: 99\n",
    "proc/net/snmp": "Ip: Forwarding InReceives\nIp: 1 22\nTcp: MaxConn CurrEstab\nTcp: -1 44\n",
    "proc/net/snmp6": "Ip6InOctets   123\nUdp6NoPorts  4\nIcmp6InMsgs 9\n",
    "proc/net/sockstat": "sockets: used 12\nTCP: inuse 3 orphan 1 tw 2 alloc 4 mem 5\nFRAG: inuse 0 memory 0\n",
    "proc/net/sockstat6": "TCP6: inuse 7\n",
    "proc/net/softnet_stat": "0000000a 00000001 00000002 00000000 00000000 00000000 00000000 00000000 00000000\n"
                             "000000ff 00000000 00000003 00000000 00000000 00000000 00000000 00000000 00000000\n",
    "proc/1/mounts": "/dev/sda1 / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\n/dev/sdb /data\\040one xfs ro,noatime 0 0\n"
                     "/dev/sdc /nowhere xfs rw 0 0\n",
    "proc/1/stat": "1 (in it) ) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 2 0 3 1 1" + " 0" * 28 + "\n",
    "proc/1/task/1/stat": "1 (in it) ) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 2 0 3 1 1" + " 0" * 28 + "\n",
    "proc/1/task/9/stat": "9 (worker) D 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 2 0 3 1 1" + " 0" * 28 + "\n",
    "proc/7/stat": "7 (kthread) I 2 0 0 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 3 1 1" + " 0" * 28 + "\n",
    "proc/7/task/7/stat": "7 (kthread) I 2 0 0 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 3 1 1" + " 0" * 28 + "\n",
    "root/data one/x": "",
    "root/etc/os-release": "NAME=\"Rock OS\"\nID=rock\nID_LIKE='sea stone'\nVERSION_ID=\"11.3.1\"\nVARIANT=\n",
    "sys/class/net/eth0/operstate": "up\n", "sys/class/net/eth0/address": "02:00:00:00:00:01\n",
    "sys/class/net/eth0/speed": "1000\n", "sys/class/net/eth0/duplex": "full\n", "sys/class/net/eth0/flags": "0x1003\n",
    "sys/class/net/eth0/dev_id": "0x20\n", "sys/class/net/eth0/mtu": "1500\n", "sys/class/net/eth0/ifalias": "up link\n",
    "sys/class/net/eth0/carrier_changes": "4\n", "sys/class/net/bonding_masters": "\n",
    "sys/class/hwmon/hwmon0/name": "coretemp\n", "sys/class/hwmon/hwmon0/temp1_input": "45500\n",
    "sys/class/hwmon/hwmon0/temp1_label": "Package id 0\n", "sys/class/hwmon/hwmon0/temp1_crit": "100000\n",
    "sys/class/hwmon/hwmon0/temp1_crit_alarm": "0\n", "sys/class/hwmon/hwmon0/temp1_alarm": "1\n",
    "sys/class/hwmon/hwmon0/temp1_type": "4\n", "sys/class/hwmon/hwmon0/update_interval": "1500\n",
    "sys/class/hwmon/hwmon1/name": "nct-6775 X\n", "sys/class/hwmon/hwmon1/fan2_input": "1200\n",
    "sys/class/hwmon/hwmon1/fan2_min": "300\n", "sys/class/hwmon/hwmon1/fan2_beep": "0\n",
    "sys/class/hwmon/hwmon1/fan2_pulses": "2\n", "sys/class/hwmon/hwmon1/pwm2": "128\n",
    "sys/class/hwmon/hwmon1/pwm2_enable": "5\n", "sys/class/hwmon/hwmon1/in0_input": "1100\n",
    "sys/class/hwmon/hwmon1/cpu0_vid": "900\n", "sys/class/hwmon/hwmon1/beep_enable": "1\n",
    "sys/class/hwmon/hwmon1/vrm": "13\n", "sys/class/hwmon/hwmon1/intrusion0_alarm": "0\n",
    "sys/class/hwmon/hwmon1/power1_average": "25000000\n", "sys/class/hwmon/hwmon1/power1_average_interval": "2000\n",
    "sys/class/hwmon/hwmon1/power1_accuracy": "95\n", "sys/class/hwmon/hwmon1/energy1_input": "123456789\n",
    "sys/class/hwmon/hwmon1/curr1_input": "700\n", "sys/class/hwmon/hwmon1/humidity1_input": "43250\n",
    "sys/class/thermal/thermal_zone0/type": "acpitz\n", "sys/class/thermal/thermal_zone0/temp": "48300\n",
    "sys/class/thermal/thermal_zone0/policy": "step_wise\n", "sys/class/thermal/cooling_device3/type": "Fan\n",
    "sys/class/thermal/cooling_device3/cur_state": "1\n", "sys/class/thermal/cooling_device3/max_state": "10\n",
    "sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm \n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "sys/devices/system/cpu/isolated": "1,3-4\n",
}
CPU_FIXTURE = {"topology/physical_package_id": "0\n", "thermal_throttle/package_throttle_count": "30\n",
               "cpufreq/cpuinfo_min_freq": "800000\n", "cpufreq/cpuinfo_max_freq": "4200000\n",
               "cpufreq/scaling_cur_freq": "1234567\n", "cpufreq/scaling_min_freq": "800000\n",
               "cpufreq/scaling_max_freq": "3600000\n", "cpufreq/scaling_available_governors": "performance\n",
               "cpufreq/scaling_driver": "x\n", "cpufreq/scaling_governor": "performance\n",
               "cpufreq/related_cpus": "0\n", "cpufreq/scaling_setspeed": "<unsupported>\n"}


def write_fixture(root):
    files = dict(FIXTURE)
    for cpu in range(4):
        base = f"sys/devices/system/cpu/cpu{cpu}/"
        files.update({base + name: text for name, text in CPU_FIXTURE.items()})
        files[base + "topology/core_id"] = f"{cpu // 2}\n"
        files[base + "thermal_throttle/core_throttle_count"] = f"{cpu * 7}\n"
    for name, text in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    device = os.path.join(root, "sys/devices/platform/coretemp.0")
    os.makedirs(device)
    os.symlink(device, os.path.join(root, "sys/class/hwmon/hwmon0/device"))


def compare_fixture(arguments):
    with tempfile.TemporaryDirectory() as root:
        write_fixture(root)
        command = [*shlex.split(arguments.skerry_command), "--proc", f"{root}/proc", "--sys", f"{root}/sys",
                   "--rootfs", f"{root}/root", "--udev", f"{root}/udev"]
        extra = [f"--path.procfs={root}/proc", f"--path.sysfs={root}/sys", f"--path.rootfs={root}/root",
                 f"--path.udev.data={root}/udev", "--no-collector.netdev.netlink"]
        return compare(arguments, lambda after: from_command(command), extra)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ours = parser.add_mutually_exclusive_group(required=True)
    ours.add_argument("--skerry-url", help="a page of Prometheus text, or the cloud's base URL (without a path)")
    ours.add_argument("--skerry-command", help="a command that prints Prometheus text")
    parser.add_argument("--node-exporter", required=True, metavar="PATH")
    parser.add_argument("--collectors", default=",".join(COLLECTORS), help="comma-separated; default: all that we have")
    parser.add_argument("--match", default="", help="further matchers for the query API, such as instance=\"a\"")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--wait", type=float, default=60, help="seconds for a new collection to reach the query API")
    parser.add_argument("--fixture", action="store_true", help="compare on made-up trees; needs --skerry-command")
    arguments = parser.parse_args()
    if arguments.fixture and not arguments.skerry_command:
        parser.error("--fixture needs --skerry-command")
    try:
        same = compare_fixture(arguments) if arguments.fixture else compare(arguments, reader_of(arguments))
    except Failed as e:
        print(f"node_exporter_parity: {e}", file=sys.stderr)
        return 2
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
