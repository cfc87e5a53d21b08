{{- /* Environment, mounts and volumes of the container. Each is a list or empty. */}}

{{- /* Arguments: root, shard; -1 takes the shard from the pod's number. */}}
{{- define "vastai-exporter.env" -}}
{{- $shard := index . 1 }}
{{- with index . 0 }}
{{- $env := list }}
{{- if not .Values.demo }}
{{- $env = append $env (dict "name" "VASTAI_EXPORTER_CONFIG_FILE" "value" "/etc/vastai-exporter/config.yaml") }}
{{- end }}
{{- if .Values.web.existingSecret }}
{{- $env = append $env (dict "name" "VASTAI_EXPORTER_WEB_CONFIG_FILE" "value" "/etc/vastai-exporter-web/web.yml") }}
{{- end }}
{{- if gt (int .Values.shards) 1 }}
{{- $env = append $env (dict "name" "VASTAI_EXPORTER_TOTAL_SHARDS" "value" (toString .Values.shards)) }}
{{- $number := dict "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.labels['apps.kubernetes.io/pod-index']")) }}
{{- if ge $shard 0 }}{{ $number = dict "value" (toString $shard) }}{{ end }}
{{- $env = append $env (merge (dict "name" "VASTAI_EXPORTER_SHARD") $number) }}
{{- end }}
{{- with concat $env .Values.extraEnv }}
{{- toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "vastai-exporter.mounts" -}}
{{- $mounts := list }}
{{- if not .Values.demo }}
{{- $mounts = append $mounts (dict "name" "config" "mountPath" "/etc/vastai-exporter" "readOnly" true) }}
{{- end }}
{{- if and .Values.keysSecret (not .Values.demo) }}
{{- $mounts = append $mounts (dict "name" "keys" "mountPath" "/etc/vastai-exporter-keys" "readOnly" true) }}
{{- end }}
{{- if .Values.web.existingSecret }}
{{- $mounts = append $mounts (dict "name" "web" "mountPath" "/etc/vastai-exporter-web" "readOnly" true) }}
{{- end }}
{{- with concat $mounts .Values.extraVolumeMounts }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- /* Configuration and keys are one volume, so that a new account and its key arrive together. 288 is 0440. A shard with
its own Deployment gets only the keys of its accounts. A missing secret affects only its own account; the pod still
starts. Arguments: root, shard; -1 means all shards. */}}
{{- define "vastai-exporter.volumes" -}}
{{- $shard := index . 1 }}
{{- with index . 0 }}
{{- $volumes := list }}
{{- if not .Values.demo }}
{{- $shards := .Values.shards }}
{{- $sources := list (dict "configMap" (dict "name" (include "vastai-exporter.fullname" .))) }}
{{- range .Values.accounts }}{{ if .existingSecret }}
{{- $ours := or (lt $shard 0) (eq (toString $shard) (include "vastai-exporter.owner" (list .name $shards))) }}
{{- $key := default "api-key" .key }}
{{- $item := dict "key" $key "path" (printf "keys/%s/%s" .existingSecret $key) }}
{{- $source := dict "secret" (dict "name" .existingSecret "items" (list $item) "optional" true) }}
{{- if and $ours (not (has $source $sources)) }}
{{- $sources = append $sources $source }}
{{- end }}
{{- end }}{{ end }}
{{- $volumes = append $volumes (dict "name" "config" "projected" (dict "defaultMode" 288 "sources" $sources)) }}
{{- with .Values.keysSecret }}
{{- $volumes = append $volumes (dict "name" "keys" "secret" (dict "secretName" . "defaultMode" 288 "optional" true)) }}
{{- end }}
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
{{- end }}
