"""What the dashboards in dashboards.py are made of: panels, rows, and the usual expressions."""

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
# Functions that the dashboard shows; one for "One function".
FUNCTIONS = 'function_name=~"$function"'
# Histograms whose buckets have a trace each.
TRACED = ("gateway_functions_seconds", "skep_queue_wait_seconds")


def panel(title, targets, unit="short", kind="timeseries", width=8, height=8, about="", steps=None, stack=False):
    """One panel; targets are pairs of an expression and its legend, steps are pairs of a value and a colour."""
    custom = {"fillOpacity": 10, "showPoints": "never"} if kind == "timeseries" else {}
    if stack:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    defaults = {"unit": unit, "custom": custom, "min": 0 if kind == "timeseries" else None}
    if steps:
        defaults["thresholds"] = {
            "mode": "absolute",
            "steps": [{"color": "green", "value": None}] + [{"color": colour, "value": at} for at, colour in steps],
        }
    options = {
        "timeseries": {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}},
        "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"},
        "table": {"showHeader": True},
        "heatmap": {"calculate": False, "yAxis": {"unit": unit}},
    }[kind]
    instant = kind == "table"
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": {name: value for name, value in defaults.items() if value is not None}, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": instant,
                "range": not instant,
                **({"exemplar": True} if kind == "timeseries" and any(name in expression for name in TRACED) else {}),
                **({"format": "table"} if kind == "table" else {}),
                **({"format": "heatmap"} if kind == "heatmap" else {}),
            }
            for number, (expression, legend) in enumerate(targets)
        ],
    }


def stat(title, expression, unit="short", **more):
    return panel(title, [(expression, "")], unit, "stat", width=4, height=4, **more)


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": WIDTH, "h": 1}}


def rate(metric, labels="", by="", window="$__rate_interval"):
    inner = f"rate({metric}{{{labels}}}[{window}])" if labels else f"rate({metric}[{window}])"
    return f"sum by ({by}) ({inner})" if by else f"sum({inner})"


def quantile(share, metric, labels="", by=""):
    groups = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(metric + '_bucket', labels, groups)})"


def laid_out(panels):
    """Puts the panels side by side, and below where there is no more room."""
    x = y = height = 0
    for number, one in enumerate(panels, 1):
        place = one["gridPos"]
        if x + place["w"] > WIDTH:
            x, y, height = 0, y + height, 0
        place.update(x=x, y=y)
        x, height = x + place["w"], max(height, place["h"])
        one["id"] = number
    return panels


def dashboard(name, title, about, panels, function=None):
    """A dashboard; function is "all" or "one" if it can be asked about functions."""
    variables = [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0},
    ]
    if function:
        query = "label_values(gateway_service_count, function_name)"
        several = function == "all"
        variables.append(
            {
                "name": "function",
                "label": "Function",
                "type": "query",
                "datasource": SOURCE,
                "query": {"query": query, "refId": "function"},
                "refresh": 2,
                "sort": 1,
                "multi": several,
                "includeAll": several,
                **({"allValue": ".*", "current": {"text": "All", "value": "$__all"}} if several else {}),
            }
        )
    return {
        "uid": f"skep-{name}",
        "title": title,
        "description": about,
        "tags": ["skep"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [
            {"title": "skep", "type": "dashboards", "tags": ["skep"], "asDropdown": True, "includeVars": True, "keepTime": True}
        ],
        "templating": {"list": variables},
        "annotations": {"list": []},
        "panels": laid_out(panels),
    }
