{{/* The name of everything: that of the release. */}}
{{- define "millrace.name" -}}
{{- if contains "millrace" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-millrace" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "millrace.selector" -}}
app.kubernetes.io/name: millrace
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "millrace.labels" -}}
{{ include "millrace.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Names of the secrets: those that are there, or those of this chart. */}}
{{- define "millrace.clickhouse" -}}
{{- default (printf "%s-clickhouse" (include "millrace.name" .)) .Values.clickhouse.existingSecret -}}
{{- end -}}

{{- define "millrace.tokens" -}}
{{- default (printf "%s-tokens" (include "millrace.name" .)) .Values.tokens.existingSecret -}}
{{- end -}}

{{/* The configuration: what the values say, and above it what the other objects rely on. */}}
{{- define "millrace.config" -}}
data_dir: /var/lib/millrace
auth:
  tokens_file: /etc/millrace/tokens/tokens.yaml
receivers:
  otlp_grpc: { listen: 0.0.0.0:4317 }
  http: { listen: 0.0.0.0:4318 }
page: { listen: 0.0.0.0:4319 }
admin:
  health: { listen: 0.0.0.0:13133 }
  metrics: { listen: 0.0.0.0:8888 }
clickhouse:
  url: ${env:CLICKHOUSE_URL:-http://clickhouse:8123}
  user: ${env:CLICKHOUSE_USER:-millrace}
  password: ${env:CLICKHOUSE_PASSWORD}
{{- end -}}

{{- define "millrace.file" -}}
{{- mergeOverwrite (deepCopy .Values.config) (include "millrace.config" . | fromYaml) | toYaml -}}
{{- end -}}
