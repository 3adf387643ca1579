"""Renders a chart with Helm: `helm_chart.py CHART VALUES.json` prints what comes of it as JSON, or why nothing does.

    {"findings": [of the lint], "manifests": {file: text}}   or   {"refused": why}
"""

import json
import sys

import helm_python as helm


def main() -> None:
    chart_path, values_path = sys.argv[1:]
    with open(values_path, encoding="utf-8") as file:
        values = json.load(file)
    findings = helm.lint(chart_path)
    try:
        with helm.Chart.load(chart_path) as chart:
            chart.validate_schema(values)
            manifests = chart.render(values, name="millrace", namespace="tracing")
    except helm.HelmError as error:
        print(json.dumps({"refused": str(error)}))
        return
    print(json.dumps({"findings": findings, "manifests": manifests}))


main()
