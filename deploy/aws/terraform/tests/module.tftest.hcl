# `terraform init && terraform test`: what the module makes, without an account. Takes Terraform 1.7.
mock_provider "aws" {
  mock_resource "aws_lb" {
    defaults = { arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/a/1" }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/a/1" }
  }
  mock_data "aws_subnet" {
    defaults = { cidr_block = "10.0.0.0/24" }
  }
}

variables {
  vpc_id                   = "vpc-1"
  internal_alb_subnet_ids  = ["subnet-a", "subnet-b"]
  external_alb_subnet_ids  = ["subnet-c", "subnet-d"]
  node_subnet_ids          = ["subnet-e", "subnet-f"]
  node_security_group_id   = "sg-nodes"
  internal_certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/a"
  external_certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/b"
}

run "ip" {
  command = apply
  assert {
    condition     = length(yamldecode(output.helm_values).doors) == 4
    error_message = "The values are not those of this variant: ${output.helm_values}"
  }
  assert {
    condition     = yamldecode(output.helm_values).doors["external-https"].targetGroupBinding.targetGroupARN == aws_lb_target_group.door["external-https"].arn
    error_message = "The values are not those of this variant: ${output.helm_values}"
  }
  assert {
    condition     = length(yamldecode(output.helm_values).networkPolicy.adminFrom) == 5
    error_message = "The values are not those of this variant: ${output.helm_values}"
  }
  assert {
    condition     = length(aws_autoscaling_attachment.door) == 0 && aws_lb_target_group.door["internal-http"].health_check[0].path == "/lb/internal-http"
    error_message = "Pods are asked at the admin port, and no group is attached."
  }
  assert {
    condition     = alltrue([for key, rule in aws_vpc_security_group_ingress_rule.nodes : startswith(key, "external") ? (rule.from_port == 10002 && rule.to_port == 10003 || rule.from_port == 10254 && rule.to_port == 10254) : (rule.from_port == 10000 && rule.to_port == 10001 || rule.from_port == 10254)])
    error_message = jsonencode(aws_vpc_security_group_ingress_rule.nodes)
  }
}

run "instance" {
  command = apply
  variables {
    target_type             = "instance"
    autoscaling_group_names = ["blue", "green"]
  }
  assert {
    condition     = length(aws_autoscaling_attachment.door) == 8 && length(aws_vpc_security_group_ingress_rule.nodes) == 2
    error_message = "Each group is in four target groups, and nodes accept the doors alone."
  }
  assert {
    condition     = !can(yamldecode(output.helm_values).networkPolicy) && !can(yamldecode(output.helm_values).doors["internal-http"].targetGroupBinding)
    error_message = "The values are not those of this variant: ${output.helm_values}"
  }
}

run "everybody" {
  command = plan
  variables { internal_client_cidrs = ["0.0.0.0/0"] }
  expect_failures = [var.internal_client_cidrs]
}

run "nodes_beside_an_alb" {
  command = plan
  variables { node_subnet_ids = ["subnet-b", "subnet-e"] }
  expect_failures = [aws_lb.this]
}
