{{- /* The part of both monitors other than endpoints. Arguments: root, monitor, key of targetLabels. */}}
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

{{- /* The endpoints of a monitor: the whole page, or what its parts leave of it, and each part. Arguments: root,
monitor. */}}
{{- define "vastai-exporter.endpoints" -}}
{{- $root := index . 0 }}
{{- $monitor := index . 1 }}
{{- $rest := list }}
{{- if $monitor.parts }}
{{- $rest = fromYamlArray ($root.Files.Get "files/groups.yml") }}
{{- end }}
{{- range $name, $part := $monitor.parts }}
{{- range $part.groups }}
{{- if not (has . $rest) }}
{{- fail (printf "parts: %s: the group %s is also in another part, so it would be scraped twice" $name .) }}
{{- end }}
{{- $rest = without $rest . }}
{{- end }}
{{- if $part.interval }}
{{- include "vastai-exporter.oftenEnough" (list $name $part.interval) }}
{{- end }}
{{- end -}}
- {{- include "vastai-exporter.endpoint" (list $root $monitor "" $rest $monitor.interval) | nindent 2 }}
{{- range $name, $part := $monitor.parts }}
- {{- include "vastai-exporter.endpoint" (list $root $monitor $name $part.groups (default $monitor.interval $part.interval)) | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Fails if series would disappear between two scrapes, or after a single failed scrape: Prometheus looks back 5
minutes. Arguments: name of the part, interval. */}}
{{- define "vastai-exporter.oftenEnough" -}}
{{- $milliseconds := 0 }}
{{- range regexFindAll "[0-9]+[a-z]+" (index . 1) -1 }}
{{- $unit := index (dict "ms" 1 "s" 1000 "m" 60000) (regexFind "[a-z]+" .) | default 3600000 }}
{{- $milliseconds = add $milliseconds (mul $unit (regexFind "[0-9]+" .)) }}
{{- end }}
{{- if gt $milliseconds 240000 }}
{{- fail (printf "parts: %s: with the interval %s, series would have gaps, because Prometheus looks back 5 minutes; the maximum is 4m" (index . 0) (index . 1)) }}
{{- end }}
{{- end }}

{{- /* One endpoint. Job and instance stay the same after every restart, so that a restart creates no new series. A part
has its own job, because otherwise two targets would share one `up`. Its samples get the common job back. Arguments:
root, monitor, name of the part or "", its groups or an empty list, interval. */}}
{{- define "vastai-exporter.endpoint" -}}
{{- $root := index . 0 }}
{{- $monitor := index . 1 }}
{{- $name := index . 2 -}}
{{- if and $root.Values.web.tls (not $monitor.tlsConfig) }}
{{- fail "tlsConfig: with web.tls a monitor needs it: Prometheus connects to the pod's address, which is not in the certificate" }}
{{- end -}}
{{- if and $root.Values.web.clientCertificates (not (and $monitor.tlsConfig.cert $monitor.tlsConfig.keySecret)) }}
{{- fail "tlsConfig: with web.clientCertificates a monitor needs a certificate of its own: cert and keySecret" }}
{{- end -}}
port: metrics
path: /metrics
{{- with index . 3 }}
params:
  group:
    {{- toYaml . | nindent 4 }}
{{- end }}
honorLabels: {{ $monitor.honorLabels }}
{{- if $root.Values.web.tls }}
scheme: https
{{- end }}
interval: {{ index . 4 }}
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
  {{- if $name }}
  - sourceLabels: [job]
    targetLabel: job
    replacement: $1-{{ $name }}
  {{- end }}
{{- if or $name $monitor.metricRelabelings }}
metricRelabelings:
  {{- if $name }}
  - sourceLabels: [job]
    regex: (.*)-{{ $name }}
    targetLabel: job
  {{- end }}
  {{- with $monitor.metricRelabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
