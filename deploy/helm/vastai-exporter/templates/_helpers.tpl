{{- define "vastai-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "vastai-exporter.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "vastai-exporter.selector" -}}
app.kubernetes.io/name: {{ include "vastai-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Labels of an object: list of the root and of more labels. */}}
{{- define "vastai-exporter.labels" -}}
{{- $root := index . 0 }}
{{- $own := fromYaml (include "vastai-exporter.selector" $root) }}
{{- $own = merge (dict
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_")
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/managed-by" $root.Release.Service
  "app.kubernetes.io/component" "exporter") $own }}
{{- toYaml (merge $own (index . 1) $root.Values.commonLabels) }}
{{- end }}

{{- /* Name, namespace, labels and annotations: list of the root, a suffix of the name, labels, annotations. */}}
{{- define "vastai-exporter.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "vastai-exporter.fullname" $root }}{{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "vastai-exporter.labels" (list $root (index . 2)) | nindent 2 }}
{{- with merge (dict) (index . 3) $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "vastai-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "vastai-exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* With shards another service: one that has an address can't become one that has none. */}}
{{- define "vastai-exporter.service" -}}
{{- include "vastai-exporter.fullname" . }}{{ if gt (int .Values.shards) 1 }}-shards{{ end }}
{{- end }}

{{- /* Of the service. Without an address of its own, as with shards, it translates no port. */}}
{{- define "vastai-exporter.port" -}}
{{- ternary 10622 .Values.service.port (gt (int .Values.shards) 1) }}
{{- end }}

{{- define "vastai-exporter.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- define "vastai-exporter.config" -}}
{{- $accounts := list }}
{{- range .Values.accounts }}
{{- $account := dict "name" .name "api_key_file" (printf "/etc/vastai-exporter/keys/%s/%s" .existingSecret (default "api-key" .key)) }}
{{- with .select_filters }}{{ $_ := set $account "select_filters" . }}{{ end }}
{{- with .budget }}{{ $_ := set $account "budget" . }}{{ end }}
{{- with .label_budgets }}{{ $_ := set $account "label_budgets" . }}{{ end }}
{{- $accounts = append $accounts $account }}
{{- end }}
{{- toYaml (merge (dict "accounts" $accounts) .Values.config) }}
{{- end }}

{{- /* A probe: list of the root, the path and the value with its periods. */}}
{{- define "vastai-exporter.probe" -}}
{{- $web := (index . 0).Values.web }}
{{- if $web.clientCertificates -}}
tcpSocket: {port: metrics}
{{- else -}}
httpGet:
  path: {{ index . 1 }}
  port: metrics
  {{- if $web.tls }}
  scheme: HTTPS
  {{- end }}
{{- end }}
{{ toYaml (index . 2) }}
{{- end }}

{{- /* Job and instance are the same after every restart, so that it begins no new series. */}}
{{- define "vastai-exporter.endpoint" -}}
{{- $root := index . 0 }}
{{- $monitor := index . 1 -}}
{{- if and $root.Values.web.tls (not $monitor.tlsConfig) }}
{{- fail "tlsConfig: with web.tls a monitor needs it: Prometheus asks by address, which is no name in a certificate" }}
{{- end -}}
{{- if and $root.Values.web.clientCertificates (not (and $monitor.tlsConfig.cert $monitor.tlsConfig.keySecret)) }}
{{- fail "tlsConfig: with web.clientCertificates a monitor needs a certificate of its own: cert and keySecret" }}
{{- end -}}
port: metrics
path: /metrics
honorLabels: true
{{- if $root.Values.web.tls }}
scheme: https
{{- end }}
interval: {{ $monitor.interval }}
{{- with $monitor.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with $monitor.tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $monitor.basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
relabelings:
  - targetLabel: job
    replacement: vastai-exporter
  {{- if gt (int $root.Values.shards) 1 }}
  - sourceLabels: [__meta_kubernetes_pod_name]
    targetLabel: instance
  {{- else }}
  - targetLabel: instance
    replacement: {{ include "vastai-exporter.fullname" $root }}
  {{- end }}
  - action: labeldrop
    regex: pod|container|endpoint
  {{- with $monitor.relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
