{{/* The pod of a component: (dict "root" $ "name" "router" "own" .Values.router). */}}
{{- define "trivium.pod" -}}
{{- $values := .root.Values -}}
metadata:
  labels:
    {{- include "trivium.labels" . | nindent 4 }}
  annotations:
    prometheus.io/scrape: "true"
    prometheus.io/port: "7390"
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "trivium.podSecurity" . | nindent 2 }}
  {{/* It drains for 25 s after SIGTERM (TRIVIUM_DRAIN_MS). */ -}}
  terminationGracePeriodSeconds: 30
  {{- with $values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .name }}
      {{- include "trivium.image" . | nindent 6 }}
      {{- if hasPrefix "batch-" .name }}
      command: [python, -m, services.batch]
      {{- end }}
      {{- include "trivium.containerSecurity" . | nindent 6 }}
      ports:
        - {name: ops, containerPort: 7390}
        {{- with include "trivium.port" . }}
        - {name: grpc, containerPort: {{ . }}}
        {{- end }}
      env:
        {{/* The pod's name: of a StatefulSet it stays, so a router that is restarted takes its partitions back. */ -}}
        - name: TRIVIUM_INSTANCE
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- include "trivium.kafka" . | nindent 8 }}
        {{- if $values.otlp }}
        - {name: TRIVIUM_OTLP, value: {{ $values.otlp | quote }}}
        {{- end }}
        {{- include "trivium.environment" . | trim | nindent 8 }}
      {{/* The operations port opens when the process is ready for the first time. */ -}}
      startupProbe:
        httpGet: {path: /ready, port: ops}
        periodSeconds: 3
        failureThreshold: 60
      readinessProbe:
        httpGet: {path: /ready, port: ops}
        periodSeconds: 5
        timeoutSeconds: 3
      livenessProbe:
        httpGet: {path: /live, port: ops}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      resources:
        {{- toYaml .own.resources | nindent 8 }}
      volumeMounts:
        {{- include "trivium.mounts" . | nindent 8 }}
  volumes:
    {{- include "trivium.volumes" (merge (dict "policy" (printf "%s-policy" .root.Release.Name)) .) | nindent 4 }}
  {{- if $values.spread }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "trivium.selector" . | nindent 10 }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* What is a component's own, then what all have by values, then secrets by reference. */}}
{{- define "trivium.environment" -}}
{{- $values := .root.Values -}}
{{- if eq .name "gateway" }}
- {name: TRIVIUM_GATEWAY_PORT, value: {{ include "trivium.port" . | quote }}}
{{- range list "finetuned" "retrieval" "cloud" }}
- {name: TRIVIUM_{{ upper . }}, value: {{ include "trivium.address" (dict "root" $.root "name" .) | quote }}}
{{- end }}
{{- else if eq .name "finetuned" }}
- {name: TRIVIUM_FINETUNED_PORT, value: {{ include "trivium.port" . | quote }}}
- {name: TRIVIUM_FINETUNED_URL, value: {{ .own.url | quote }}}
- {name: TRIVIUM_FINETUNED_WIRE, value: {{ .own.wire }}}
- {name: TRIVIUM_SEARCH, value: {{ include "trivium.address" (dict "root" .root "name" "retrieval") | quote }}}
{{- else if eq .name "retrieval" }}
- {name: TRIVIUM_RETRIEVAL_PORT, value: {{ include "trivium.port" . | quote }}}
- {name: TRIVIUM_MILVUS, value: {{ .own.milvus | quote }}}
{{- if .own.embedder }}
- {name: TRIVIUM_EMBEDDER, value: {{ .own.embedder | quote }}}
{{- end }}
- {name: TRIVIUM_GENERATOR, value: {{ include "trivium.address" (dict "root" .root "name" "finetuned") | quote }}}
- {name: TRIVIUM_GENERATOR_CLOUD, value: {{ include "trivium.address" (dict "root" .root "name" "cloud") | quote }}}
{{- else if eq .name "cloud" }}
- {name: TRIVIUM_CLOUD_PORT, value: {{ include "trivium.port" . | quote }}}
- {name: TRIVIUM_CLOUD_URL, value: {{ .own.url | quote }}}
{{- else if eq .name "ledger" }}
- {name: TRIVIUM_LEDGER_PORT, value: {{ include "trivium.port" . | quote }}}
{{- if .own.database.secret }}
- name: TRIVIUM_LEDGER_DB
  valueFrom: {secretKeyRef: {name: {{ .own.database.secret }}, key: {{ .own.database.key }}}}
{{- end }}
{{- else if hasPrefix "batch-" .name }}
- {name: TRIVIUM_BATCH_TIER, value: {{ trimPrefix "batch-" .name }}}
{{- if eq .name "batch-cloud" }}
- {name: TRIVIUM_CLOUD_URL, value: {{ $values.cloud.url | quote }}}
{{- end }}
{{- end }}
{{- if $values.tls.secret }}
- {name: TRIVIUM_TLS_CERT, value: /etc/trivium-tls/tls.crt}
- {name: TRIVIUM_TLS_KEY, value: /etc/trivium-tls/tls.key}
- {name: TRIVIUM_TLS_CA, value: /etc/trivium-tls/ca.crt}
- {name: TRIVIUM_TLS_CLIENTS, value: {{ $values.tls.clients | quote }}}
{{- end }}
{{- if $values.keys.secret }}
- {name: TRIVIUM_KEYS, value: /etc/trivium-keys/keys.yaml}
{{- if has .name (list "gateway" "finetuned" "retrieval") }}
- {name: TRIVIUM_KEY_FILE, value: /etc/trivium-keys/key}
{{- end }}
{{- end }}
{{- range $name, $value := merge (dict) .own.environment $values.environment }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- range .own.secrets }}
- name: {{ .name }}
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key }}}}
{{- end }}
{{- end }}
