"""Small made-up pages for the replay: a few counters and gauges of the kinds that real exporters have."""

PAGES = 5


def write_pages(workspace, series=40):
    """Writes a sequence of scrapes and returns the files."""
    files = []
    for page in range(PAGES):
        lines = ["# HELP work_total Things done.", "# TYPE work_total counter"]
        lines += [f'work_total{{kind="k{i}"}} {1000 * i + 17 * page * (i + 1)}' for i in range(series)]
        lines += ["# HELP level Where it stands.", "# TYPE level gauge"]
        lines += [f'level{{part="p{i}",unit="x y"}} {(i * 37 + page * 11) % 1000 / 8}' for i in range(series)]
        lines += ["# TYPE ratio gauge", "ratio 0.1", "# TYPE big counter", f"big {123456789012 + page * 1000}"]
        files.append(workspace.write(f"pages/{page:03}.txt", "\n".join(lines) + "\n"))
    return files
