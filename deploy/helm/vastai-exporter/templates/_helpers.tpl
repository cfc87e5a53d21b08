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

{{- define "vastai-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
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

{{- /* Name, namespace, labels and annotations: list of the root, a suffix of the name, labels, annotations, and a
namespace other than the chart's, which may be left out. */}}
{{- define "vastai-exporter.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "vastai-exporter.fullname" $root }}{{ index . 1 }}
namespace: {{ default (include "vastai-exporter.namespace" $root) (index (append . "") 4) }}
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

{{- /* global.imageRegistry takes the place of a registry that stands in the repository, and that of image.registry. */}}
{{- define "vastai-exporter.image" -}}
{{- $image := .Values.image }}
{{- $first := regexFind "^[^/]+/" $image.repository }}
{{- $own := ternary $first "" (or (regexMatch "[.:]" $first) (eq $first "localhost/")) }}
{{- $registry := coalesce (default (dict) .Values.global).imageRegistry (trimSuffix "/" $own) $image.registry }}
{{- $path := trimPrefix $own $image.repository }}
{{- with $registry }}{{ . }}/{{ end }}{{ $path }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{- /* Names of secrets, in either form: many charts' global.imagePullSecrets is a list of texts. */}}
{{- define "vastai-exporter.imagePullSecrets" -}}
{{- $secrets := list }}
{{- range concat (default (list) (default (dict) .Values.global).imagePullSecrets) .Values.imagePullSecrets }}
{{- $secrets = append $secrets (ternary . (dict "name" .) (kindIs "map" .)) }}
{{- end }}
{{- with uniq $secrets }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- define "vastai-exporter.config" -}}
{{- $accounts := list }}
{{- range .Values.accounts }}
{{- $file := printf "/etc/vastai-exporter-keys/%s" (default .name .key) }}
{{- if .existingSecret }}
{{- $file = printf "/etc/vastai-exporter/keys/%s/%s" .existingSecret (default "api-key" .key) }}
{{- else if not $.Values.keysSecret }}
{{- fail (printf "accounts: %s has no existingSecret, and keysSecret is not set" .name) }}
{{- else if not (regexMatch "^[-._a-zA-Z0-9]+$" (default .name .key)) }}
{{- fail (printf "accounts: %s: a secret has no key of this name; say which `key` it is in keysSecret" .name) }}
{{- end }}
{{- $accounts = append $accounts (merge (dict "api_key_file" $file) (omit . "existingSecret" "key")) }}
{{- end }}
{{- $web := dict }}
{{- with .Values.web.dashboardsUrl }}{{ $web = dict "web" (dict "dashboards_url" .) }}{{ end }}
{{- toYaml (merge (dict "accounts" $accounts) $web .Values.config) }}
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

{{- /* What both monitors say beside their endpoints: list of the root, the monitor, and the key of targetLabels. */}}
{{- define "vastai-exporter.monitored" -}}
{{- $root := index . 0 }}
{{- $monitor := index . 1 -}}
{{- with $monitor.jobLabel }}
jobLabel: {{ . }}
{{- end }}
{{- with $monitor.targetLabels }}
{{ index $ 2 }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $monitor.sampleLimit }}
sampleLimit: {{ int64 . }}
{{- end }}
namespaceSelector:
  matchNames: [{{ include "vastai-exporter.namespace" $root }}]
selector:
  matchLabels:
    {{- include "vastai-exporter.selector" $root | nindent 4 }}
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
honorLabels: {{ $monitor.honorLabels }}
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
{{- with $monitor.authorization }}
authorization:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $monitor.proxyUrl }}
proxyUrl: {{ . }}
{{- end }}
relabelings:
  {{- if not $monitor.jobLabel }}
  - targetLabel: job
    replacement: vastai-exporter
  {{- end }}
  {{- if eq (include "vastai-exporter.oneEach" $root) "true" }}
  - sourceLabels: [__meta_kubernetes_pod_label_vastai_exporter_shard]
    targetLabel: instance
    replacement: {{ include "vastai-exporter.fullname" $root }}-shard-$1
  {{- else if gt (int $root.Values.shards) 1 }}
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
