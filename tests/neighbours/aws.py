#!/usr/bin/env python3
"""A stand-in for AWS (moto), as a set-up has it: aws.py make ENDPOINT POD-ADDRESS… | targets ENDPOINT | rules ENDPOINT GROUP

`make` creates a VPC, the security groups of two load balancers and of the nodes, a network interface for each address, and
a target group for each door, and prints their ids and ARNs. All print JSON.
"""

import json
import sys

import boto3

DOORS = {"internal-http": 10000, "internal-https": 10001, "external-http": 10002, "external-https": 10003}


def clients(endpoint):
    access = {"region_name": "eu-west-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return [boto3.client(name, endpoint_url=endpoint, **access) for name in ("ec2", "elbv2")]


def make(endpoint, *addresses):
    ec2, elbv2 = clients(endpoint)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/20")["Subnet"]["SubnetId"]

    def group(name):
        return ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]

    made = {"vpc": vpc, "internal": group("internal"), "external": group("external"), "nodes": group("nodes")}
    ec2.create_tags(Resources=[made["nodes"]], Tags=[{"Key": "kubernetes.io/cluster/test", "Value": "owned"}])
    for address in addresses:
        interface = ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress=address, Groups=[made["nodes"]])
        made[address] = interface["NetworkInterface"]["NetworkInterfaceId"]
    for door, port in DOORS.items():
        # As deploy/aws has them.
        made[door] = elbv2.create_target_group(
            Name=f"blastdoor-{door}", VpcId=vpc, TargetType="ip", Protocol="HTTP", Port=port, HealthCheckPort="10254",
            HealthCheckPath=f"/lb/{door}", Matcher={"HttpCode": "200"}, HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2, HealthyThresholdCount=2, UnhealthyThresholdCount=2,
        )["TargetGroups"][0]["TargetGroupArn"]
    return made


def targets(endpoint):
    _, elbv2 = clients(endpoint)
    found = {}
    for group in elbv2.describe_target_groups()["TargetGroups"]:
        health = elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
        registered = [each["Target"] for each in health if each["TargetHealth"]["State"] != "draining"]
        found[group["TargetGroupName"]] = sorted(f"{each['Id']}:{each['Port']}" for each in registered)
    return found


def rules(endpoint, group):
    ec2, _ = clients(endpoint)
    found = set()
    for rule in ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]:
        for pair in rule.get("UserIdGroupPairs", []):
            found.add(f"{pair['GroupId']} {rule['FromPort']}-{rule['ToPort']}")
    return sorted(found)


if __name__ == "__main__":
    print(json.dumps({"make": make, "targets": targets, "rules": rules}[sys.argv[1]](*sys.argv[2:])))
