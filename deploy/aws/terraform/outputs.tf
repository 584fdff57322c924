output "alb_dns_names" {
  description = "The names of the two ALBs, for DNS."
  value       = { for horizon, alb in aws_lb.this : horizon => alb.dns_name }
}

output "alb_security_group_ids" {
  description = "The security groups of the two ALBs."
  value       = { for horizon, group in aws_security_group.alb : horizon => group.id }
}

output "target_group_arns" {
  description = "The target group of each door."
  value       = { for door, group in aws_lb_target_group.door : door => group.arn }
}

locals {
  networks = { for horizon, values in local.horizons : horizon => [for id in values.subnet_ids : data.aws_subnet.alb[id].cidr_block] }
  peers    = { for horizon, networks in local.networks : horizon => [for network in networks : { ipBlock = { cidr = network } }] }

  values = {
    doors = {
      for door, settings in local.doors : door => merge(
        {
          trustedProxies = local.networks[settings.horizon]
          publish        = { hostname = aws_lb.this[settings.horizon].dns_name }
          networkPolicy  = { from = local.peers[settings.horizon] }
        },
        local.is_ip ? {
          targetGroupBinding = {
            enabled        = true
            targetGroupARN = aws_lb_target_group.door[door].arn
            securityGroups = [aws_security_group.alb[settings.horizon].id]
          }
        } : {},
      )
    }
  }
  admin = {
    networkPolicy = {
      adminFrom = concat(
        flatten(values(local.peers)),
        [{ namespaceSelector = { matchLabels = { "kubernetes.io/metadata.name" = "monitoring" } } }],
      )
    }
  }
}

output "helm_values" {
  description = "Values for the chart, on top of its preset aws-alb-ip or aws-alb-asg-hostport."
  value       = local.is_ip ? "${yamlencode(local.values)}${yamlencode(local.admin)}" : yamlencode(local.values)
}
