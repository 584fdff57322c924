variable "vpc_id" {
  description = "The VPC of the cluster."
  type        = string
}

variable "internal_alb_subnet_ids" {
  description = "Subnets of the internal ALB alone, in at least two availability zones: no node or pod has an address in them. The internal doors believe X-Forwarded-For from their networks and from nobody else."
  type        = list(string)

  validation {
    condition     = length(var.internal_alb_subnet_ids) >= 2
    error_message = "An ALB needs subnets in at least two availability zones."
  }
}

variable "external_alb_subnet_ids" {
  description = "Subnets of the internet-facing ALB alone, in at least two availability zones: no node or pod has an address in them. The external doors believe X-Forwarded-For from their networks and from nobody else."
  type        = list(string)

  validation {
    condition     = length(var.external_alb_subnet_ids) >= 2
    error_message = "An ALB needs subnets in at least two availability zones."
  }
}

variable "node_subnet_ids" {
  description = "Every subnet of nodes and pods. They are only compared with those of the ALBs."
  type        = list(string)

  validation {
    condition     = length(var.node_subnet_ids) >= 1
    error_message = "Name the subnets of nodes and pods: none of them may be an ALB's."
  }
}

variable "internal_client_cidrs" {
  description = "Who may reach the internal ALB."
  type        = list(string)
  default     = ["10.0.0.0/8"]

  validation {
    condition     = alltrue([for cidr in var.internal_client_cidrs : can(cidrhost(cidr, 0)) && cidr != "0.0.0.0/0"])
    error_message = "The internal ALB is for networks, not for everybody (0.0.0.0/0)."
  }
}

variable "node_security_group_id" {
  description = "The security group of the pods (target_type ip; that of the nodes unless pods have groups of their own) or of the nodes (instance)."
  type        = string
}

variable "internal_certificate_arn" {
  description = "Certificate of the internal ALB, from ACM."
  type        = string
}

variable "external_certificate_arn" {
  description = "Certificate of the internet-facing ALB, from ACM."
  type        = string
}

variable "target_type" {
  description = "ip: the AWS Load Balancer Controller registers pods (preset aws-alb-ip of the chart). instance: Auto Scaling groups register their nodes (preset aws-alb-asg-hostport)."
  type        = string
  default     = "ip"

  validation {
    condition     = contains(["ip", "instance"], var.target_type)
    error_message = "Allowed: ip, instance."
  }
}

variable "autoscaling_group_names" {
  description = "With target_type instance: the Auto Scaling groups of the nodes, such as those of EKS node groups."
  type        = list(string)
  default     = []
}

variable "name_prefix" {
  description = "Target groups are named PREFIX-DOOR, as in the preset of the chart."
  type        = string
  default     = "blastdoor"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,15}$", var.name_prefix))
    error_message = "At most 16 lower-case letters, digits and hyphens: names of target groups are short."
  }
}

variable "ssl_policy" {
  description = "Versions of TLS and ciphers of the HTTPS listeners."
  type        = string
  default     = "ELBSecurityPolicy-TLS13-1-2-2021-06"
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
