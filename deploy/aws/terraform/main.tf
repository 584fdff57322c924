# The same as deploy/aws/cloudformation: an internal and an internet-facing ALB, four listeners, four target groups, and security
# groups as the outer wall. tests/deploy/test_aws.py compares the two.

locals {
  horizons = {
    internal = {
      internal        = true
      subnet_ids      = var.internal_alb_subnet_ids
      client_cidrs    = var.internal_client_cidrs
      certificate_arn = var.internal_certificate_arn
      first_port      = 10000
      last_port       = 10001
    }
    external = {
      internal        = false
      subnet_ids      = var.external_alb_subnet_ids
      client_cidrs    = ["0.0.0.0/0"]
      certificate_arn = var.external_certificate_arn
      first_port      = 10002
      last_port       = 10003
    }
  }

  doors = {
    internal-http  = { horizon = "internal", port = 10000, listener_port = 80, listener_protocol = "HTTP" }
    internal-https = { horizon = "internal", port = 10001, listener_port = 443, listener_protocol = "HTTPS" }
    external-http  = { horizon = "external", port = 10002, listener_port = 80, listener_protocol = "HTTP" }
    external-https = { horizon = "external", port = 10003, listener_port = 443, listener_protocol = "HTTPS" }
  }

  # Pods are asked at the admin port, which is not on the node; nodes at the door itself (`healthPath`).
  is_ip      = var.target_type == "ip"
  admin_port = 10254

  # One rule for each network and port of the ALBs.
  clients = merge([
    for horizon, values in local.horizons : {
      for pair in setproduct(values.client_cidrs, [80, 443]) :
      "${horizon}-${pair[0]}-${pair[1]}" => { horizon = horizon, cidr = pair[0], port = pair[1] }
    }
  ]...)

  # What an ALB may send to nodes, and what nodes accept from it: its own doors, and health checks.
  paths = merge(
    { for horizon, values in local.horizons : "${horizon}-doors" => { horizon = horizon, from = values.first_port, to = values.last_port } },
    { for horizon, values in local.horizons : "${horizon}-health" => { horizon = horizon, from = local.admin_port, to = local.admin_port } if local.is_ip },
  )

  attachments = {
    for pair in setproduct(var.autoscaling_group_names, keys(local.doors)) :
    "${pair[0]}-${pair[1]}" => { group = pair[0], door = pair[1] } if !local.is_ip
  }
}

data "aws_subnet" "alb" {
  for_each = toset(concat(var.internal_alb_subnet_ids, var.external_alb_subnet_ids))

  id = each.value
}

resource "aws_security_group" "alb" {
  for_each = local.horizons

  name_prefix = "${var.name_prefix}-${each.key}-alb-"
  description = "Blastdoor, ${each.key} ALB"
  vpc_id      = var.vpc_id
  tags        = var.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = local.clients

  security_group_id = aws_security_group.alb[each.value.horizon].id
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "nodes" {
  for_each = local.paths

  security_group_id            = aws_security_group.alb[each.value.horizon].id
  referenced_security_group_id = var.node_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.value.from
  to_port                      = each.value.to
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "nodes" {
  for_each = local.paths

  security_group_id            = var.node_security_group_id
  referenced_security_group_id = aws_security_group.alb[each.value.horizon].id
  ip_protocol                  = "tcp"
  from_port                    = each.value.from
  to_port                      = each.value.to
  tags                         = var.tags
}

resource "aws_lb" "this" {
  for_each = local.horizons

  name_prefix        = "${substr(each.key, 0, 3)}-"
  load_balancer_type = "application"
  internal           = each.value.internal
  subnets            = each.value.subnet_ids
  security_groups    = [aws_security_group.alb[each.key].id]

  # Shorter than the idle_timeout of the doors (620 s): whoever closes first must be the ALB.
  idle_timeout = 60
  # The right-most entry is the ALB's own; the doors take the client from it.
  xff_header_processing_mode = "append"
  drop_invalid_header_fields = true
  desync_mitigation_mode     = "defensive"
  preserve_host_header       = true
  tags                       = var.tags

  lifecycle {
    # The doors believe what comes from these subnets about the client.
    precondition {
      condition     = length(setintersection(each.value.subnet_ids, var.node_subnet_ids)) == 0
      error_message = "The ${each.key} ALB has subnets of its own: every pod in them could forge the client's address."
    }
  }
}

resource "aws_lb_target_group" "door" {
  for_each = local.doors

  name                          = "${var.name_prefix}-${each.key}"
  vpc_id                        = var.vpc_id
  target_type                   = var.target_type
  protocol                      = "HTTP"
  protocol_version              = "HTTP1"
  port                          = each.value.port
  deregistration_delay          = 60
  load_balancing_algorithm_type = "least_outstanding_requests"
  tags                          = var.tags

  health_check {
    protocol            = "HTTP"
    port                = local.is_ip ? tostring(local.admin_port) : "traffic-port"
    path                = local.is_ip ? "/lb/${each.key}" : "/healthz"
    matcher             = "200"
    interval            = 5
    timeout             = 2
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "door" {
  for_each = local.doors

  load_balancer_arn = aws_lb.this[each.value.horizon].arn
  port              = each.value.listener_port
  protocol          = each.value.listener_protocol
  ssl_policy        = each.value.listener_protocol == "HTTPS" ? var.ssl_policy : null
  certificate_arn   = each.value.listener_protocol == "HTTPS" ? local.horizons[each.value.horizon].certificate_arn : null
  tags              = var.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.door[each.key].arn
  }
}

# Nodes enter and leave the target groups with their group. A target group without a listener has no health checks.
resource "aws_autoscaling_attachment" "door" {
  for_each = local.attachments

  autoscaling_group_name = each.value.group
  lb_target_group_arn    = aws_lb_target_group.door[each.value.door].arn

  depends_on = [aws_lb_listener.door]
}
