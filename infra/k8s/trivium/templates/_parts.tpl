{{/* What every object of a component is called. Called with (dict "root" $ "name" "router"). */}}
{{- define "trivium.fullname" -}}
{{- printf "%s-%s" (.root.Release.Name | trunc 40 | trimSuffix "-") .name -}}
{{- end }}

{{- define "trivium.labels" -}}
{{ include "trivium.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "trivium.selector" -}}
app.kubernetes.io/name: trivium
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{/* All that run for long, by a space. */}}
{{- define "trivium.components" -}}
router gateway finetuned retrieval cloud{{ if .Values.ledger.enabled }} ledger{{ end }}{{ if .Values.budget.enabled }} budget{{ end }}
{{- range $tier := list "cloud" "finetuned" }}{{ if (get $.Values.batch $tier).enabled }} batch-{{ $tier }}{{ end }}{{ end }}
{{- end }}

{{/* Its values, as YAML: batch-cloud has those of batch.cloud. */}}
{{- define "trivium.own" -}}
{{- $from := ternary .root.Values.batch .root.Values (hasPrefix "batch-" .name) -}}
{{- toYaml (get $from (trimPrefix "batch-" .name)) -}}
{{- end }}

{{/* gRPC port of a component; the router has none. */}}
{{- define "trivium.port" -}}
{{- get (dict "gateway" "7300" "finetuned" "7301" "retrieval" "7302" "cloud" "7303" "ledger" "7304") .name -}}
{{- end }}

{{/* Host of a component, with its port. */}}
{{- define "trivium.address" -}}
{{- printf "%s:%s" (include "trivium.fullname" .) (include "trivium.port" .) -}}
{{- end }}

{{/* How a process speaks to Kafka. */}}
{{- define "trivium.kafka" -}}
{{- $values := .root.Values -}}
- {name: TRIVIUM_KAFKA, value: {{ $values.kafka.bootstrap | quote }}}
- {name: TRIVIUM_PARTITIONS, value: {{ $values.kafka.partitions | quote }}}
- {name: TRIVIUM_KAFKA_PROTOCOL, value: {{ $values.kafka.protocol }}}
{{- if hasPrefix "SASL" $values.kafka.protocol }}
{{- $principal := ternary "operator" .name (eq .name "topics") }}
- {name: TRIVIUM_KAFKA_USER, value: {{ $principal }}}
- name: TRIVIUM_KAFKA_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ required "kafka.passwordSecret is needed with SASL" $values.kafka.passwordSecret }}, key: {{ $principal }}}}
{{- end }}
{{- if $values.kafka.caSecret }}
- {name: TRIVIUM_KAFKA_CA, value: /etc/trivium-kafka/ca.crt}
{{- end }}
{{- end }}

{{/* Who may do what in a pod: nobody anything. */}}
{{- define "trivium.podSecurity" -}}
automountServiceAccountToken: false
{{/* Kubernetes adds TRIVIUM_GATEWAY_PORT=tcp://... for a service of that name: settings of ours, with other values. */ -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "trivium.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* The batch process of a tier runs in the image of that tier. */}}
{{- define "trivium.image" -}}
{{- $registry := .root.Values.image.registry -}}
image: {{ printf "%s%strivium-%s:%s" $registry (ternary "/" "" (ne $registry "")) (trimPrefix "batch-" .name) (.root.Values.image.tag | toString) | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- end }}

{{- define "trivium.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .root.Values.policy.text }}
- {name: policy, mountPath: /etc/trivium, readOnly: true}
{{- end }}
{{- if .root.Values.kafka.caSecret }}
- {name: kafka-ca, mountPath: /etc/trivium-kafka, readOnly: true}
{{- end }}
{{- if and .root.Values.tls.secret (ne .name "topics") }}
- {name: tls, mountPath: /etc/trivium-tls, readOnly: true}
{{- end }}
{{- if and .root.Values.keys.secret (ne .name "topics") }}
- {name: keys, mountPath: /etc/trivium-keys, readOnly: true}
{{- end }}
{{- if eq .name "ledger" }}
{{- if not .root.Values.ledger.database.secret }}
- {name: data, mountPath: /var/lib/trivium}
{{- end }}
{{- end }}
{{- end }}

{{/* "policy" is the name of the ConfigMap. */}}
{{- define "trivium.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- if .root.Values.policy.text }}
- name: policy
  configMap: {name: {{ .policy }}}
{{- end }}
{{- if .root.Values.kafka.caSecret }}
- name: kafka-ca
  secret: {secretName: {{ .root.Values.kafka.caSecret }}}
{{- end }}
{{- if and .root.Values.tls.secret (ne .name "topics") }}
- name: tls
  secret: {secretName: {{ .root.Values.tls.secret }}}
{{- end }}
{{- if and .root.Values.keys.secret (ne .name "topics") }}
- name: keys
  secret:
    secretName: {{ .root.Values.keys.secret }}
    items:
      - {key: keys.yaml, path: keys.yaml}
      {{- if has .name (list "gateway" "finetuned" "retrieval") }}
      - {key: {{ .name }}, path: key}
      {{- end }}
{{- end }}
{{- if eq .name "ledger" }}
{{- if not .root.Values.ledger.database.secret }}
- name: data
  persistentVolumeClaim: {claimName: {{ include "trivium.fullname" . }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "trivium.policyData" -}}
data:
  policy.yaml: |
{{ .Values.policy.text | indent 4 }}
{{- if .Values.policy.classifier }}
  classifier.json: |
{{ .Values.policy.classifier | indent 4 }}
{{- end }}
{{- end }}
