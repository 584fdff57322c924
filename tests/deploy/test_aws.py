"""The templates for AWS: free of lint, and what is there after a stack of each has been created in a stand-in for AWS (moto); the
Terraform module makes the same."""

import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
from typing import NamedTuple

import yaml

import rig

AWS = rig.ROOT / "deploy" / "aws"
TEMPLATES = {name: AWS / "cloudformation" / f"{name}.yaml" for name in ("alb-ip", "alb-asg-hostport")}
PRESET = {"alb-ip": "aws-alb-ip", "alb-asg-hostport": "aws-alb-asg-hostport"}
REGION = "us-east-1"
# Door, port at the node or pod, port of the ALB.
DOORS = {
    "internal-http": (10000, 80),
    "internal-https": (10001, 443),
    "external-http": (10002, 80),
    "external-https": (10003, 443),
}
PRIVATE, PUBLIC = ["10.0.0.0/27", "10.0.0.32/27"], ["10.0.100.0/24", "10.0.101.0/24"]
NODES = ["10.0.16.0/20", "10.0.32.0/20"]
ADMIN = 10254


class Stack(NamedTuple):
    """What there is after a template has been created."""

    outputs: dict[str, str]
    # By name.
    target_groups: dict[str, dict]
    # By scheme.
    load_balancers: dict[str, dict]
    # By the ARN of the load balancer.
    listeners: dict[str, list[dict]]
    security_groups: dict[str, dict]
    node_group: str
    autoscaling: list[dict]


def horizon(door: str) -> str:
    return door.partition("-")[0]


@functools.cache
def created(name: str) -> Stack:
    """Creates a stack, and reads everything with the clients that people use."""
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    import boto3  # noqa: PLC0415: reads the environment
    from moto import mock_aws  # noqa: PLC0415

    with mock_aws():
        ec2, elb = boto3.client("ec2"), boto3.client("elbv2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]

        def subnets(networks: list[str]) -> str:
            made = [
                ec2.create_subnet(VpcId=vpc, CidrBlock=network, AvailabilityZone=f"{REGION}{zone}")
                for network, zone in zip(networks, "ab")
            ]
            return ",".join(subnet["Subnet"]["SubnetId"] for subnet in made)

        group = ec2.create_security_group(GroupName="nodes", Description="nodes", VpcId=vpc)["GroupId"]
        acm = boto3.client("acm")
        given = {
            "VpcId": vpc,
            "InternalAlbSubnets": subnets(PRIVATE),
            "InternalAlbSubnetCidrs": ",".join(PRIVATE),
            "ExternalAlbSubnets": subnets(PUBLIC),
            "ExternalAlbSubnetCidrs": ",".join(PUBLIC),
            "NodeSubnets": subnets(NODES),
            "NodeSecurityGroup": group,
            "InternalCertificateArn": acm.request_certificate(DomainName="*.internal.example")["CertificateArn"],
            "ExternalCertificateArn": acm.request_certificate(DomainName="*.example.com")["CertificateArn"],
        }
        if name == "alb-asg-hostport":
            image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
            template = ec2.create_launch_template(
                LaunchTemplateName="nodes", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.large"}
            )["LaunchTemplate"]
            given |= {
                "LaunchTemplateId": template["LaunchTemplateId"],
                "LaunchTemplateVersion": "1",
                "ClusterName": "shop",
            }
        cloud = boto3.client("cloudformation")
        cloud.create_stack(
            StackName="blastdoor",
            TemplateBody=TEMPLATES[name].read_text(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        )
        stack = cloud.describe_stacks(StackName="blastdoor")["Stacks"][0]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        balancers = elb.describe_load_balancers()["LoadBalancers"]
        groups = elb.describe_target_groups()["TargetGroups"]
        return Stack(
            outputs={output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]},
            target_groups={found["TargetGroupName"]: found for found in groups},
            load_balancers={balancer["Scheme"]: balancer for balancer in balancers},
            listeners={
                balancer["LoadBalancerArn"]: elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])[
                    "Listeners"
                ]
                for balancer in balancers
            },
            security_groups={found["GroupId"]: found for found in ec2.describe_security_groups()["SecurityGroups"]},
            node_group=group,
            autoscaling=boto3.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"],
        )


def alb(stack: Stack, side: str) -> dict:
    return stack.load_balancers[{"internal": "internal", "external": "internet-facing"}[side]]


def ranges(permissions: list[dict], group: str) -> set[tuple[int, int]]:
    """The ports that rules open to or from a security group."""
    return {
        (rule["FromPort"], rule["ToPort"])
        for rule in permissions
        for pair in rule["UserIdGroupPairs"]
        if pair["GroupId"] == group
    }


def egress(name: str, side: str) -> set[tuple[int, int]]:
    """What the ALB may send to nodes, and only to them: as the template says, because moto leaves inline rules out."""
    group = resources(name)[f"{side.title()}AlbSecurityGroup"]["Properties"]
    rules = group["SecurityGroupEgress"]
    assert all(rule["DestinationSecurityGroupId"] == {"Ref": "NodeSecurityGroup"} for rule in rules), rules
    assert not any("Cidr" in key for rule in rules for key in rule), rules
    return {(rule["FromPort"], rule["ToPort"]) for rule in rules}


def attributes(name: str, resource: str, key: str) -> dict[str, str]:
    """As the template says, because moto leaves them at their defaults."""
    return {pair["Key"]: pair["Value"] for pair in resources(name)[resource]["Properties"][key]}


class CloudFormation(unittest.TestCase):
    def test_lint_has_nothing_to_say(self):
        program = pathlib.Path(sys.executable).parent / "cfn-lint"
        command = [program, "--regions", REGION, "eu-central-1", "--", *TEMPLATES.values()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stdout + done.stderr)

    def test_each_alb_reaches_its_own_doors_alone(self):
        """Both halves of the wall: what the ALB may send, and what the nodes accept."""
        own = {"internal": (10000, 10001), "external": (10002, 10003)}
        for name in TEMPLATES:
            for side, ports in own.items():
                expected = {ports} | ({(ADMIN, ADMIN)} if name == "alb-ip" else set())
                with self.subTest(template=name, side=side):
                    stack = created(name)
                    [group] = alb(stack, side)["SecurityGroups"]
                    accepted = ranges(stack.security_groups[stack.node_group]["IpPermissions"], group)
                    self.assertEqual((egress(name, side), accepted), (expected, expected))
            groups = [alb(created(name), side)["SecurityGroups"] for side in own]
            self.assertNotEqual(*groups, "the ALBs share no group")

    def test_the_internal_alb_is_not_for_everybody(self):
        for name in TEMPLATES:
            stack = created(name)
            for side, network in (("internal", "10.0.0.0/8"), ("external", "0.0.0.0/0")):
                [group] = alb(stack, side)["SecurityGroups"]
                rules = stack.security_groups[group]["IpPermissions"]
                found = {
                    (rule["FromPort"], rule["ToPort"], cidr["CidrIp"]) for rule in rules for cidr in rule["IpRanges"]
                }
                with self.subTest(template=name, side=side):
                    self.assertEqual(found, {(80, 80, network), (443, 443, network)})

    def test_nodes_and_pods_are_not_in_the_subnets_of_albs(self):
        """What comes from there is believed. As the template says, because moto leaves rules out."""
        for name in TEMPLATES:
            asserted = [each["Assert"] for each in document(name)["Rules"]["SubnetsOfTheirOwn"]["Assertions"]]
            for side in ("Internal", "External"):
                lists = [{"Ref": f"{side}AlbSubnets"}, {"Ref": "NodeSubnets"}]
                for pair in (lists, lists[::-1]):
                    with self.subTest(template=name, pair=pair):
                        self.assertIn({"Not": [{"EachMemberIn": pair}]}, asserted)
        [balancer] = module()["resource"]["aws_lb"].values()
        [lifecycle] = balancer["lifecycle"]
        [condition] = lifecycle["precondition"]
        self.assertIn("setintersection(each.value.subnet_ids, var.node_subnet_ids)", condition["condition"])

    def test_each_listener_forwards_to_the_door_of_its_scheme(self):
        for name in TEMPLATES:
            stack = created(name)
            for door, (_, port) in DOORS.items():
                listeners = stack.listeners[alb(stack, horizon(door))["LoadBalancerArn"]]
                self.assertEqual(len(listeners), 2)
                [listener] = [found for found in listeners if found["Port"] == port]
                with self.subTest(template=name, door=door):
                    self.assertEqual(listener["Protocol"], {80: "HTTP", 443: "HTTPS"}[port])
                    [action] = listener["DefaultActions"]
                    self.assertEqual(action["Type"], "forward")
                    group = stack.target_groups[f"blastdoor-{door}"]
                    self.assertEqual(action["TargetGroupArn"], group["TargetGroupArn"])
                    if port == 443:
                        self.assertEqual(len(listener["Certificates"]), 1)
                        self.assertIn("TLS13", listener["SslPolicy"])

    def test_target_groups_ask_the_door(self):
        for name in TEMPLATES:
            stack = created(name)
            self.assertEqual(set(stack.target_groups), {f"blastdoor-{door}" for door in DOORS})
            for door, (port, _) in DOORS.items():
                group = stack.target_groups[f"blastdoor-{door}"]
                is_ip = name == "alb-ip"
                expected = {
                    "TargetType": "ip" if is_ip else "instance",
                    "Protocol": "HTTP",
                    "Port": port,
                    "HealthCheckProtocol": "HTTP",
                    "HealthCheckPort": str(ADMIN) if is_ip else "traffic-port",
                    "HealthCheckPath": f"/lb/{door}" if is_ip else "/healthz",
                    "HealthCheckIntervalSeconds": 5,
                    "HealthCheckTimeoutSeconds": 2,
                    "HealthyThresholdCount": 2,
                    "UnhealthyThresholdCount": 2,
                    "Matcher": {"HttpCode": "200"},
                }
                with self.subTest(template=name, door=door):
                    self.assertEqual({key: group[key] for key in expected}, expected)
                    resource = "".join(part.title() for part in door.split("-")) + "TargetGroup"
                    said = attributes(name, resource, "TargetGroupAttributes")
                    self.assertEqual(said["deregistration_delay.timeout_seconds"], "60")

    def test_albs_say_who_the_client_is_and_close_first(self):
        for name in TEMPLATES:
            for side in ("internal", "external"):
                said = attributes(name, f"{side.title()}Alb", "LoadBalancerAttributes")
                with self.subTest(template=name, side=side):
                    self.assertEqual(said["routing.http.xff_header_processing.mode"], "append")
                    self.assertEqual(said["routing.http.drop_invalid_header_fields.enabled"], "true")
                    self.assertEqual(said["routing.http.desync_mitigation_mode"], "defensive")
                    self.assertLess(int(said["idle_timeout.timeout_seconds"]), 620)

    def test_nodes_are_in_all_four_target_groups(self):
        stack = created("alb-asg-hostport")
        [group] = stack.autoscaling
        arns = {found["TargetGroupArn"] for found in stack.target_groups.values()}
        self.assertEqual(set(group["TargetGroupARNs"]), arns)
        self.assertEqual(group["HealthCheckType"], "EC2", "a red door must not cost its node")
        self.assertEqual(created("alb-ip").autoscaling, [])

    def test_the_outputs_are_values_for_the_preset(self):
        for name in TEMPLATES:
            stack = created(name)
            values = yaml.load(stack.outputs["HelmValues"], rig.Strict)
            with self.subTest(template=name):
                check_values(self, values, name, stack)

    def test_the_templates_differ_in_what_they_must(self):
        """What is not about targets is the same in both."""
        ip, nodes = (resources(name) for name in TEMPLATES)
        self.assertEqual(set(ip) - set(nodes), {"NodeHealthFromInternal", "NodeHealthFromExternal"})
        self.assertEqual(set(nodes) - set(ip), {"Nodes"})
        differing = {name for name in set(ip) & set(nodes) if ip[name] != nodes[name]}
        groups = {name for name in ip if name.endswith(("TargetGroup", "AlbSecurityGroup"))}
        self.assertEqual(differing, groups)


class Terraform(unittest.TestCase):
    """What the module makes, as far as it can be told without AWS' provider: nothing here downloads it."""

    def test_it_is_formatted(self):
        program = shutil.which("terraform")
        if program is None:
            self.skipTest(rig.NO_TERRAFORM)
        command = [program, "fmt", "-check", "-diff", "-recursive", str(AWS / "terraform")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_it_has_the_doors_of_the_templates(self):
        doors = module()["locals"]["doors"]
        self.assertEqual(set(doors), set(DOORS))
        for door, (port, listener) in DOORS.items():
            expected = {
                "horizon": horizon(door),
                "port": port,
                "listener_port": listener,
                "listener_protocol": {80: "HTTP", 443: "HTTPS"}[listener],
            }
            self.assertEqual(doors[door], expected)

    def test_its_wall_is_that_of_the_templates(self):
        horizons = module()["locals"]["horizons"]
        for side, settings in horizons.items():
            doors = (settings["first_port"], settings["last_port"])
            self.assertEqual(egress("alb-asg-hostport", side), {doors})
            admin = module()["locals"]["admin_port"]
            self.assertEqual(egress("alb-ip", side), {doors, (admin, admin)})
        self.assertEqual(horizons["external"]["client_cidrs"], ["0.0.0.0/0"])
        self.assertEqual(horizons["internal"]["internal"], True)
        self.assertEqual(horizons["external"]["internal"], False)

    def test_it_makes_the_kinds_of_the_templates(self):
        kinds = {
            "aws_security_group": "AWS::EC2::SecurityGroup",
            "aws_vpc_security_group_ingress_rule": "AWS::EC2::SecurityGroupIngress",
            "aws_lb": "AWS::ElasticLoadBalancingV2::LoadBalancer",
            "aws_lb_target_group": "AWS::ElasticLoadBalancingV2::TargetGroup",
            "aws_lb_listener": "AWS::ElasticLoadBalancingV2::Listener",
        }
        # Rules of egress are inline there; the groups of nodes exist before the module, which attaches them.
        beside = {"aws_vpc_security_group_egress_rule", "aws_autoscaling_attachment"}
        self.assertEqual(set(module()["resource"]), set(kinds) | beside)
        there = {found["Type"] for name in TEMPLATES for found in resources(name).values()}
        self.assertEqual(there - set(kinds.values()), {"AWS::AutoScaling::AutoScalingGroup"})

    def test_its_settings_are_those_of_the_templates(self):
        [balancer] = module()["resource"]["aws_lb"].values()
        said = attributes("alb-ip", "ExternalAlb", "LoadBalancerAttributes")
        pairs = {
            "idle_timeout": "idle_timeout.timeout_seconds",
            "xff_header_processing_mode": "routing.http.xff_header_processing.mode",
            "drop_invalid_header_fields": "routing.http.drop_invalid_header_fields.enabled",
            "desync_mitigation_mode": "routing.http.desync_mitigation_mode",
            "preserve_host_header": "routing.http.preserve_host_header.enabled",
        }
        self.assertEqual(set(pairs.values()), set(said))
        for here, there in pairs.items():
            self.assertEqual(json.dumps(balancer[here]).strip('"'), said[there])
        [group] = module()["resource"]["aws_lb_target_group"].values()
        there = resources("alb-ip")["ExternalHttpTargetGroup"]["Properties"]
        said = attributes("alb-ip", "ExternalHttpTargetGroup", "TargetGroupAttributes")
        self.assertEqual(str(group["deregistration_delay"]), said["deregistration_delay.timeout_seconds"])
        self.assertEqual(group["load_balancing_algorithm_type"], said["load_balancing.algorithm.type"])
        [check] = group["health_check"]
        pairs = {
            "protocol": "HealthCheckProtocol",
            "interval": "HealthCheckIntervalSeconds",
            "timeout": "HealthCheckTimeoutSeconds",
            "healthy_threshold": "HealthyThresholdCount",
            "unhealthy_threshold": "UnhealthyThresholdCount",
        }
        for here, key in pairs.items():
            self.assertEqual(check[here], there[key])
        self.assertEqual(check["matcher"], there["Matcher"]["HttpCode"])
        self.assertEqual((group["protocol"], group["protocol_version"]), (there["Protocol"], there["ProtocolVersion"]))
        for part in ("/lb/", "/healthz"):
            self.assertIn(part, check["path"])
        policy = document("alb-ip")["Parameters"]["SslPolicy"]["Default"]
        self.assertEqual(module()["variable"]["ssl_policy"]["default"], policy)


def plain(value: object) -> object:
    """What the parser found, without the quotation marks of strings and keys."""
    if isinstance(value, dict):
        return {plain(key): plain(part) for key, part in value.items() if not str(key).startswith("__")}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value.strip('"') if isinstance(value, str) else value


@functools.cache
def module() -> dict[str, dict]:
    """Every block of the module: by kind, then by its names."""
    import hcl2  # noqa: PLC0415: it is slow

    found: dict[str, dict] = {"locals": {}}
    for file in sorted((AWS / "terraform").glob("*.tf")):
        with file.open() as text:
            for kind, blocks in plain(hcl2.load(text)).items():
                for block in blocks:
                    if kind == "resource":
                        for resource, named in block.items():
                            found.setdefault(kind, {}).setdefault(resource, {}).update(named)
                    else:
                        found.setdefault(kind, {}).update(block)
    return found


def check_values(test: unittest.TestCase, values: dict, name: str, stack: Stack) -> None:
    """The chart takes them, and they are about this stack."""
    networks = {"internal": PRIVATE, "external": PUBLIC}
    for door in DOORS:
        settings = values["doors"][door]
        balancer = alb(stack, horizon(door))
        test.assertEqual(settings["trustedProxies"], networks[horizon(door)])
        test.assertEqual(settings["publish"]["hostname"], balancer["DNSName"])
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        done = rig.template(rig.preset(PRESET[name]), file)
    test.assertEqual(done.returncode, 0, done.stderr)
    test.assertNotIn("192.0.2.", done.stdout, "an example of the preset is left")
    test.assertNotIn("198.51.100.", done.stdout, "an example of the preset is left")
    test.assertNotIn("sg-0000000000000000", done.stdout, "an example of the preset is left")
    bindings = [found for found in yaml.safe_load_all(done.stdout) if found and found["kind"] == "TargetGroupBinding"]
    test.assertEqual(len(bindings), len(DOORS) if name == "alb-ip" else 0)
    for binding in bindings:
        door = binding["spec"]["serviceRef"]["port"]
        group = stack.target_groups[f"blastdoor-{door}"]
        test.assertEqual(binding["spec"]["targetGroupARN"], group["TargetGroupArn"])
        [rule] = binding["spec"]["networking"]["ingress"]
        test.assertEqual({port["port"] for port in rule["ports"]}, {DOORS[door][0], ADMIN})
        sources = [source["securityGroup"]["groupID"] for source in rule["from"]]
        test.assertEqual(sources, alb(stack, horizon(door))["SecurityGroups"])


class Loader(yaml.SafeLoader):
    """YAML with the short forms of CloudFormation's functions."""


def short_form(loader: Loader, suffix: str, node: yaml.Node) -> dict:
    kinds = {yaml.ScalarNode: loader.construct_scalar, yaml.MappingNode: loader.construct_mapping}
    value = kinds[type(node)](node) if type(node) in kinds else loader.construct_sequence(node, deep=True)
    return {suffix: value}


Loader.add_multi_constructor("!", short_form)


@functools.cache
def document(name: str) -> dict:
    return yaml.load(TEMPLATES[name].read_text(), Loader)


def resources(name: str) -> dict:
    return document(name)["Resources"]


if __name__ == "__main__":
    unittest.main()
