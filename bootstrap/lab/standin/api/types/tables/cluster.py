"""Fields of Kubernetes' types: cluster. Written by .ci/standin_types.py; `types` says how to read it."""

from __future__ import annotations

TABLE = """
admissionregistration.v1.AuditAnnotation key*:s valueExpression*:s
admissionregistration.v1.ExpressionWarning fieldRef*:s warning*:s
admissionregistration.v1.MatchCondition expression*:s name*:s
admissionregistration.v1.MatchResources! excludeResourceRules:[@admissionregistration.v1.NamedRuleWithOperations
 matchPolicy:s namespaceSelector:@meta.LabelSelector objectSelector:@meta.LabelSelector
 resourceRules:[@admissionregistration.v1.NamedRuleWithOperations
admissionregistration.v1.MutatingWebhook admissionReviewVersions*:[s
 clientConfig*+:@admissionregistration.v1.WebhookClientConfig failurePolicy:s
 matchConditions:[name|@admissionregistration.v1.MatchCondition matchPolicy:s name*:s
 namespaceSelector:@meta.LabelSelector objectSelector:@meta.LabelSelector reinvocationPolicy:s
 rules:[@admissionregistration.v1.RuleWithOperations sideEffects*:s timeoutSeconds:i
admissionregistration.v1.MutatingWebhookConfiguration apiVersion:s kind:s metadata+:@meta.ObjectMeta
 webhooks:[name|@admissionregistration.v1.MutatingWebhook
admissionregistration.v1.NamedRuleWithOperations! apiGroups:[s apiVersions:[s operations:[s resourceNames:[s
 resources:[s scope:s
admissionregistration.v1.ParamKind! apiVersion:s kind:s
admissionregistration.v1.ParamRef! name:s namespace:s parameterNotFoundAction:s selector:@meta.LabelSelector
admissionregistration.v1.RuleWithOperations apiGroups:[s apiVersions:[s operations:[s resources:[s scope:s
admissionregistration.v1.ServiceReference name*:s namespace*:s path:s port:i
admissionregistration.v1.TypeChecking expressionWarnings:[@admissionregistration.v1.ExpressionWarning
admissionregistration.v1.ValidatingAdmissionPolicy apiVersion:s kind:s metadata+:@meta.ObjectMeta
 spec+:@admissionregistration.v1.ValidatingAdmissionPolicySpec
 status+:@admissionregistration.v1.ValidatingAdmissionPolicyStatus
admissionregistration.v1.ValidatingAdmissionPolicyBinding apiVersion:s kind:s metadata+:@meta.ObjectMeta
 spec*+:@admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec
admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec matchResources:@admissionregistration.v1.MatchResources
 paramRef:@admissionregistration.v1.ParamRef policyName*:s validationActions*:[=s
admissionregistration.v1.ValidatingAdmissionPolicySpec auditAnnotations:[@admissionregistration.v1.AuditAnnotation
 failurePolicy:s matchConditions:[name|@admissionregistration.v1.MatchCondition
 matchConstraints:@admissionregistration.v1.MatchResources paramKind:@admissionregistration.v1.ParamKind
 validations:[@admissionregistration.v1.Validation variables:[name|@admissionregistration.v1.Variable
admissionregistration.v1.ValidatingAdmissionPolicyStatus conditions:[type/|@meta.Condition observedGeneration:l
 typeChecking:@admissionregistration.v1.TypeChecking
admissionregistration.v1.ValidatingWebhook admissionReviewVersions*:[s
 clientConfig*+:@admissionregistration.v1.WebhookClientConfig failurePolicy:s
 matchConditions:[name|@admissionregistration.v1.MatchCondition matchPolicy:s name*:s
 namespaceSelector:@meta.LabelSelector objectSelector:@meta.LabelSelector
 rules:[@admissionregistration.v1.RuleWithOperations sideEffects*:s timeoutSeconds:i
admissionregistration.v1.ValidatingWebhookConfiguration apiVersion:s kind:s metadata+:@meta.ObjectMeta
 webhooks:[name|@admissionregistration.v1.ValidatingWebhook
admissionregistration.v1.Validation expression*:s message:s messageExpression:s reason:s
admissionregistration.v1.Variable! expression*:s name*:s
admissionregistration.v1.WebhookClientConfig caBundle:y service:@admissionregistration.v1.ServiceReference url:s
apiextensions.v1.CustomResourceColumnDefinition description:s format:s jsonPath*:s name*:s priority:i type*:s
apiextensions.v1.CustomResourceConversion strategy*:s webhook:@apiextensions.v1.WebhookConversion
apiextensions.v1.CustomResourceDefinition apiVersion:s kind:s metadata+:@meta.ObjectMeta
 spec*+:@apiextensions.v1.CustomResourceDefinitionSpec status+:@apiextensions.v1.CustomResourceDefinitionStatus
apiextensions.v1.CustomResourceDefinitionCondition lastTransitionTime:t message:s observedGeneration:l reason:s
 status*:s type*:s
apiextensions.v1.CustomResourceDefinitionNames categories:[s kind*:s listKind:s plural*:s shortNames:[s singular:s
apiextensions.v1.CustomResourceDefinitionSpec conversion:@apiextensions.v1.CustomResourceConversion group*:s
 names*+:@apiextensions.v1.CustomResourceDefinitionNames preserveUnknownFields:b scope*:s
 versions*:[@apiextensions.v1.CustomResourceDefinitionVersion
apiextensions.v1.CustomResourceDefinitionStatus acceptedNames+:@apiextensions.v1.CustomResourceDefinitionNames
 conditions:[type/|@apiextensions.v1.CustomResourceDefinitionCondition observedGeneration:l storedVersions:[s
apiextensions.v1.CustomResourceDefinitionVersion
 additionalPrinterColumns:[@apiextensions.v1.CustomResourceColumnDefinition deprecated:b deprecationWarning:s name*:s
 schema:@apiextensions.v1.CustomResourceValidation selectableFields:[@apiextensions.v1.SelectableField served*:b
 storage*:b subresources:@apiextensions.v1.CustomResourceSubresources
apiextensions.v1.CustomResourceSubresourceScale labelSelectorPath:s specReplicasPath*:s statusReplicasPath*:s
apiextensions.v1.CustomResourceSubresources scale:@apiextensions.v1.CustomResourceSubresourceScale status:?
apiextensions.v1.CustomResourceValidation openAPIV3Schema:@apiextensions.v1.JSONSchemaProps
apiextensions.v1.ExternalDocumentation description:s url:s
apiextensions.v1.JSONSchemaProps $ref:s $schema:s additionalItems:? additionalProperties:?
 allOf:[@apiextensions.v1.JSONSchemaProps anyOf:[@apiextensions.v1.JSONSchemaProps default:?
 definitions:{@apiextensions.v1.JSONSchemaProps dependencies:{? description:s enum:[? example:? exclusiveMaximum:b
 exclusiveMinimum:b externalDocs:@apiextensions.v1.ExternalDocumentation format:s id:s items:? maxItems:l maxLength:l
 maxProperties:l maximum:n minItems:l minLength:l minProperties:l minimum:n multipleOf:n
 not:@apiextensions.v1.JSONSchemaProps nullable:b oneOf:[@apiextensions.v1.JSONSchemaProps pattern:s
 patternProperties:{@apiextensions.v1.JSONSchemaProps properties:{@apiextensions.v1.JSONSchemaProps required:[s
 title:s type:s uniqueItems:b x-kubernetes-embedded-resource:b x-kubernetes-int-or-string:b
 x-kubernetes-list-map-keys:[s x-kubernetes-list-type:s x-kubernetes-map-type:s x-kubernetes-preserve-unknown-fields:b
 x-kubernetes-validations:[rule|@apiextensions.v1.ValidationRule
apiextensions.v1.SelectableField jsonPath*:s
apiextensions.v1.ServiceReference name*:s namespace*:s path:s port:i
apiextensions.v1.ValidationRule fieldPath:s message:s messageExpression:s optionalOldSelf:b reason:s rule*:s
apiextensions.v1.WebhookClientConfig caBundle:y service:@apiextensions.v1.ServiceReference url:s
apiextensions.v1.WebhookConversion clientConfig:@apiextensions.v1.WebhookClientConfig conversionReviewVersions*:[s
apiregistration.v1.APIService apiVersion:s kind:s metadata+:@meta.ObjectMeta spec+:@apiregistration.v1.APIServiceSpec
 status+:@apiregistration.v1.APIServiceStatus
apiregistration.v1.APIServiceCondition lastTransitionTime:t message:s reason:s status*:s type*:s
apiregistration.v1.APIServiceSpec caBundle:y group:s groupPriorityMinimum*:i insecureSkipTLSVerify:b
 service:@apiregistration.v1.ServiceReference version:s versionPriority*:i
apiregistration.v1.APIServiceStatus conditions:[type|@apiregistration.v1.APIServiceCondition
apiregistration.v1.ServiceReference name:s namespace:s port:i
certificates.v1.CertificateSigningRequest apiVersion:s kind:s metadata+:@meta.ObjectMeta
 spec*+:@certificates.v1.CertificateSigningRequestSpec status+:@certificates.v1.CertificateSigningRequestStatus
certificates.v1.CertificateSigningRequestCondition lastTransitionTime:t lastUpdateTime:t message:s reason:s status*:s
 type*:s
certificates.v1.CertificateSigningRequestSpec expirationSeconds:i extra:{[s groups:[s request*:y signerName*:s uid:s
 usages:[s username:s
certificates.v1.CertificateSigningRequestStatus certificate:y
 conditions:[type/|@certificates.v1.CertificateSigningRequestCondition
core.v1.TopologySelectorLabelRequirement key*:s values*:[s
core.v1.TopologySelectorTerm! matchLabelExpressions:[@core.v1.TopologySelectorLabelRequirement
discovery.v1.Endpoint addresses*:[=s conditions+:@discovery.v1.EndpointConditions deprecatedTopology:{s
 hints:@discovery.v1.EndpointHints hostname:s nodeName:s targetRef:@core.v1.ObjectReference zone:s
discovery.v1.EndpointConditions ready:b serving:b terminating:b
discovery.v1.EndpointHints forNodes:[@discovery.v1.ForNode forZones:[@discovery.v1.ForZone
discovery.v1.EndpointPort! appProtocol:s name:s port:i protocol:s
discovery.v1.EndpointSlice addressType*:s apiVersion:s endpoints:[@discovery.v1.Endpoint kind:s
 metadata+:@meta.ObjectMeta ports:[@discovery.v1.EndpointPort
discovery.v1.ForNode name*:s
discovery.v1.ForZone name*:s
networking.v1.HTTPIngressPath backend*+:@networking.v1.IngressBackend path:s pathType*:s
networking.v1.HTTPIngressRuleValue paths*:[@networking.v1.HTTPIngressPath
networking.v1.IPBlock cidr*:s except:[s
networking.v1.Ingress apiVersion:s kind:s metadata+:@meta.ObjectMeta spec+:@networking.v1.IngressSpec
 status+:@networking.v1.IngressStatus
networking.v1.IngressBackend resource:@core.v1.TypedLocalObjectReference service:@networking.v1.IngressServiceBackend
networking.v1.IngressClass apiVersion:s kind:s metadata+:@meta.ObjectMeta spec+:@networking.v1.IngressClassSpec
networking.v1.IngressClassParametersReference apiGroup:s kind*:s name*:s namespace:s scope:s
networking.v1.IngressClassSpec controller:s parameters:@networking.v1.IngressClassParametersReference
networking.v1.IngressLoadBalancerIngress hostname:s ip:s ports:[@networking.v1.IngressPortStatus
networking.v1.IngressLoadBalancerStatus ingress:[@networking.v1.IngressLoadBalancerIngress
networking.v1.IngressPortStatus error:s port*:i protocol*:s
networking.v1.IngressRule host:s http:@networking.v1.HTTPIngressRuleValue
networking.v1.IngressServiceBackend name*:s port+:@networking.v1.ServiceBackendPort
networking.v1.IngressSpec defaultBackend:@networking.v1.IngressBackend ingressClassName:s
 rules:[@networking.v1.IngressRule tls:[@networking.v1.IngressTLS
networking.v1.IngressStatus loadBalancer+:@networking.v1.IngressLoadBalancerStatus
networking.v1.IngressTLS hosts:[s secretName:s
networking.v1.NetworkPolicy apiVersion:s kind:s metadata+:@meta.ObjectMeta spec+:@networking.v1.NetworkPolicySpec
networking.v1.NetworkPolicyEgressRule ports:[@networking.v1.NetworkPolicyPort to:[@networking.v1.NetworkPolicyPeer
networking.v1.NetworkPolicyIngressRule from:[@networking.v1.NetworkPolicyPeer ports:[@networking.v1.NetworkPolicyPort
networking.v1.NetworkPolicyPeer ipBlock:@networking.v1.IPBlock namespaceSelector:@meta.LabelSelector
 podSelector:@meta.LabelSelector
networking.v1.NetworkPolicyPort endPort:i port:x protocol:s
networking.v1.NetworkPolicySpec egress:[@networking.v1.NetworkPolicyEgressRule
 ingress:[@networking.v1.NetworkPolicyIngressRule podSelector+:@meta.LabelSelector policyTypes:[s
networking.v1.ServiceBackendPort! name:s number:i
node.v1.Overhead podFixed:{q
node.v1.RuntimeClass apiVersion:s handler*:s kind:s metadata+:@meta.ObjectMeta overhead:@node.v1.Overhead
 scheduling:@node.v1.Scheduling
node.v1.Scheduling nodeSelector:{!s tolerations:[@core.v1.Toleration
rbac.v1.AggregationRule clusterRoleSelectors:[@meta.LabelSelector
rbac.v1.ClusterRole aggregationRule:@rbac.v1.AggregationRule apiVersion:s kind:s metadata+:@meta.ObjectMeta
 rules:[@rbac.v1.PolicyRule
rbac.v1.ClusterRoleBinding apiVersion:s kind:s metadata+:@meta.ObjectMeta roleRef*+:@rbac.v1.RoleRef
 subjects:[@rbac.v1.Subject
rbac.v1.PolicyRule apiGroups:[s nonResourceURLs:[s resourceNames:[s resources:[s verbs*:[s
rbac.v1.Role apiVersion:s kind:s metadata+:@meta.ObjectMeta rules:[@rbac.v1.PolicyRule
rbac.v1.RoleBinding apiVersion:s kind:s metadata+:@meta.ObjectMeta roleRef*+:@rbac.v1.RoleRef
 subjects:[@rbac.v1.Subject
rbac.v1.RoleRef! apiGroup:s kind*:s name*:s
rbac.v1.Subject! apiGroup:s kind*:s name*:s namespace:s
storage.v1.CSIDriver apiVersion:s kind:s metadata+:@meta.ObjectMeta spec*+:@storage.v1.CSIDriverSpec
storage.v1.CSIDriverSpec attachRequired:b fsGroupPolicy:s nodeAllocatableUpdatePeriodSeconds:l podInfoOnMount:b
 preventPodSchedulingIfMissing:b requiresRepublish:b seLinuxMount:b serviceAccountTokenInSecrets:b storageCapacity:b
 tokenRequests:[@storage.v1.TokenRequest volumeLifecycleModes:[=s
storage.v1.CSINode apiVersion:s kind:s metadata+:@meta.ObjectMeta spec*+:@storage.v1.CSINodeSpec
storage.v1.CSINodeDriver allocatable:@storage.v1.VolumeNodeResources name*:s nodeID*:s topologyKeys:[s
storage.v1.CSINodeSpec drivers*:[name|@storage.v1.CSINodeDriver
storage.v1.StorageClass allowVolumeExpansion:b allowedTopologies:[@core.v1.TopologySelectorTerm apiVersion:s kind:s
 metadata+:@meta.ObjectMeta mountOptions:[s parameters:{s provisioner*:s reclaimPolicy:s volumeBindingMode:s
storage.v1.TokenRequest audience*:s expirationSeconds:l
storage.v1.VolumeAttachment apiVersion:s kind:s metadata+:@meta.ObjectMeta spec*+:@storage.v1.VolumeAttachmentSpec
 status+:@storage.v1.VolumeAttachmentStatus
storage.v1.VolumeAttachmentSource inlineVolumeSpec:@core.v1.PersistentVolumeSpec persistentVolumeName:s
storage.v1.VolumeAttachmentSpec attacher*:s nodeName*:s source*+:@storage.v1.VolumeAttachmentSource
storage.v1.VolumeAttachmentStatus attachError:@storage.v1.VolumeError attached*:b attachmentMetadata:{s
 detachError:@storage.v1.VolumeError
storage.v1.VolumeError errorCode:i message:s time:t
storage.v1.VolumeNodeResources count:i
"""
