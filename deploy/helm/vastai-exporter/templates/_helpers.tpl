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

{{- /* Labels of an object. Arguments: root, further labels. */}}
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

{{- /* Name, namespace, labels and annotations. Arguments: root, suffix of the name, labels, annotations, and optionally a
namespace other than the chart's. */}}
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

{{- /* With shards the service has another name: a service with an address cannot become headless. */}}
{{- define "vastai-exporter.service" -}}
{{- include "vastai-exporter.fullname" . }}{{ if gt (int .Values.shards) 1 }}-shards{{ end }}
{{- end }}

{{- /* The service's port. A headless service, as with shards, does not translate ports. */}}
{{- define "vastai-exporter.port" -}}
{{- ternary 10622 .Values.service.port (gt (int .Values.shards) 1) }}
{{- end }}

{{- /* global.imageRegistry overrides a registry in the repository and image.registry. */}}
{{- define "vastai-exporter.image" -}}
{{- $image := .Values.image }}
{{- $first := regexFind "^[^/]+/" $image.repository }}
{{- $own := ternary $first "" (or (regexMatch "[.:]" $first) (eq $first "localhost/")) }}
{{- $registry := coalesce (default (dict) .Values.global).imageRegistry (trimSuffix "/" $own) $image.registry }}
{{- $path := trimPrefix $own $image.repository }}
{{- with $registry }}{{ . }}/{{ end }}{{ $path }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{- /* Accepts names and objects: in many charts global.imagePullSecrets is a list of names. */}}
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
{{- fail (printf "accounts: %s: a secret cannot have a key of this name; set `key` to its name in keysSecret" .name) }}
{{- end }}
{{- $accounts = append $accounts (merge (dict "api_key_file" $file) (omit . "existingSecret" "key")) }}
{{- end }}
{{- $web := dict }}
{{- with .Values.web.dashboardsUrl }}{{ $web = dict "web" (dict "dashboards_url" .) }}{{ end }}
{{- toYaml (merge (dict "accounts" $accounts) $web .Values.config) }}
{{- end }}

{{- /* A probe. Arguments: root, path, value with its periods. */}}
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
