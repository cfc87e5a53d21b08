{{- /* What the container is given: each is a list, or nothing. */}}

{{- define "vastai-exporter.env" -}}
{{- $env := list }}
{{- if not .Values.demo }}
{{- $env = append $env (dict "name" "VASTAI_EXPORTER_CONFIG_FILE" "value" "/etc/vastai-exporter/config.yaml") }}
{{- end }}
{{- if .Values.web.existingSecret }}
{{- $env = append $env (dict "name" "VASTAI_EXPORTER_WEB_CONFIG_FILE" "value" "/etc/vastai-exporter-web/web.yml") }}
{{- end }}
{{- if gt (int .Values.shards) 1 }}
{{- $number := dict "fieldRef" (dict "fieldPath" "metadata.labels['apps.kubernetes.io/pod-index']") }}
{{- $env = append $env (dict "name" "VASTAI_EXPORTER_TOTAL_SHARDS" "value" (toString .Values.shards)) }}
{{- $env = append $env (dict "name" "VASTAI_EXPORTER_SHARD" "valueFrom" $number) }}
{{- end }}
{{- with concat $env .Values.extraEnv }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- define "vastai-exporter.mounts" -}}
{{- $mounts := list }}
{{- if not .Values.demo }}
{{- $mounts = append $mounts (dict "name" "config" "mountPath" "/etc/vastai-exporter" "readOnly" true) }}
{{- end }}
{{- if .Values.web.existingSecret }}
{{- $mounts = append $mounts (dict "name" "web" "mountPath" "/etc/vastai-exporter-web" "readOnly" true) }}
{{- end }}
{{- with concat $mounts .Values.extraVolumeMounts }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- /* Configuration and keys are one volume, so that a new key is in place in one step. 288 is 0440. */}}
{{- define "vastai-exporter.volumes" -}}
{{- $volumes := list }}
{{- if not .Values.demo }}
{{- $sources := list (dict "configMap" (dict "name" (include "vastai-exporter.fullname" .))) }}
{{- range .Values.accounts }}
{{- $key := default "api-key" .key }}
{{- $item := dict "key" $key "path" (printf "keys/%s/%s" .existingSecret $key) }}
{{- $source := dict "secret" (dict "name" .existingSecret "items" (list $item)) }}
{{- if not (has $source $sources) }}
{{- $sources = append $sources $source }}
{{- end }}
{{- end }}
{{- $volumes = append $volumes (dict "name" "config" "projected" (dict "defaultMode" 288 "sources" $sources)) }}
{{- end }}
{{- if .Values.web.existingSecret }}
{{- $sources := list }}
{{- range compact (list .Values.web.existingSecret .Values.web.tlsSecret) }}
{{- $sources = append $sources (dict "secret" (dict "name" .)) }}
{{- end }}
{{- $volumes = append $volumes (dict "name" "web" "projected" (dict "defaultMode" 288 "sources" $sources)) }}
{{- end }}
{{- with concat $volumes .Values.extraVolumes }}
{{- toYaml . }}
{{- end }}
{{- end }}
