{{- /* Whether each shard has its own Deployment. */}}
{{- define "vastai-exporter.oneEach" -}}
{{- and (gt (int .Values.shards) 1) (eq .Values.shardKind "Deployment") }}
{{- end }}

{{- /* The shard of an account, as in exporter/config/shards.py. Arguments: name of the account, number of shards. */}}
{{- define "vastai-exporter.owner" -}}
{{- $name := index . 0 }}
{{- $owner := 0 }}
{{- $largest := "" }}
{{- range $shard := until (int (index . 1)) }}
{{- $hash := sha256sum (printf "%d/%s" $shard $name) }}
{{- if gt $hash $largest }}
{{- $owner = $shard }}
{{- $largest = $hash }}
{{- end }}
{{- end }}
{{- $owner }}
{{- end }}

{{- /* The workload that runs the exporter. Arguments: root, shard; -1 means all shards. */}}
{{- define "vastai-exporter.workload" -}}
{{- $shard := index . 1 }}
{{- with index . 0 }}
{{- $alone := ge $shard 0 }}
{{- $set := and (gt (int .Values.shards) 1) (not $alone) }}
{{- $suffix := ternary (printf "-shard-%d" $shard) "" $alone }}
{{- $own := ternary (dict "vastai-exporter/shard" (toString $shard)) (dict) $alone }}
apiVersion: apps/v1
kind: {{ ternary "StatefulSet" "Deployment" $set }}
metadata:
  {{- include "vastai-exporter.metadata" (list . $suffix $own (dict)) | nindent 2 }}
spec:
  replicas: {{ ternary .Values.shards 1 $set }}
  revisionHistoryLimit: {{ .Values.revisionHistoryLimit }}
  {{- if $set }}
  serviceName: {{ include "vastai-exporter.service" . }}
  podManagementPolicy: Parallel
  {{- else }}
  # Two pods at a time would send twice as many requests as the API's thresholds allow.
  strategy: {type: Recreate}
  progressDeadlineSeconds: 3600 # ready after the first walk, which takes 7 min 20 s for 10,000 instances
  {{- end }}
  selector:
    matchLabels:
      {{- toYaml (merge (fromYaml (include "vastai-exporter.selector" .)) $own) | nindent 6 }}
  template:
    metadata:
      labels:
        {{- toYaml (merge (fromYaml (include "vastai-exporter.selector" .)) $own .Values.podLabels .Values.commonLabels) | nindent 8 }}
      {{- /* The exporter reads what is below `web` only when it starts. */}}
      {{- $web := dict }}
      {{- if and .Values.web.dashboardsUrl (not .Values.demo) }}
      {{- $web = dict "vastai-exporter/dashboards-url" .Values.web.dashboardsUrl }}
      {{- end }}
      {{- with merge $web .Values.podAnnotations .Values.commonAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "vastai-exporter.serviceAccountName" . }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
      securityContext:
        {{- toYaml .Values.podSecurityContext | nindent 8 }}
      {{- with include "vastai-exporter.imagePullSecrets" . }}
      imagePullSecrets:
        {{- . | nindent 8 }}
      {{- end }}
      {{- with .Values.dnsPolicy }}
      dnsPolicy: {{ . }}
      {{- end }}
      {{- with .Values.dnsConfig }}
      dnsConfig:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.hostAliases }}
      hostAliases:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with .Values.extraInitContainers }}
      initContainers:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: exporter
          image: {{ include "vastai-exporter.image" . | quote }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          args:
            - {{ ternary "demo" "run" .Values.demo }}
            - --web.listen-address=:10622
            {{- range .Values.extraArgs }}
            - {{ . | quote }}
            {{- end }}
          {{- with include "vastai-exporter.env" (list . $shard) }}
          env:
            {{- . | nindent 12 }}
          {{- end }}
          {{- with .Values.extraEnvFrom }}
          envFrom:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            - name: metrics
              containerPort: 10622
          startupProbe:
            {{- include "vastai-exporter.probe" (list . "/-/healthy" .Values.startupProbe) | nindent 12 }}
          livenessProbe:
            {{- include "vastai-exporter.probe" (list . "/-/healthy" .Values.livenessProbe) | nindent 12 }}
          readinessProbe:
            {{- include "vastai-exporter.probe" (list . "/-/ready" .Values.readinessProbe) | nindent 12 }}
          resources:
            {{- toYaml .Values.resources | nindent 12 }}
          securityContext:
            {{- toYaml .Values.securityContext | nindent 12 }}
          {{- with include "vastai-exporter.mounts" . }}
          volumeMounts:
            {{- . | nindent 12 }}
          {{- end }}
        {{- with .Values.extraContainers }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with include "vastai-exporter.volumes" (list . $shard) }}
      volumes:
        {{- . | nindent 8 }}
      {{- end }}
      {{- with .Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.topologySpreadConstraints }}
      topologySpreadConstraints:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
{{- end }}
