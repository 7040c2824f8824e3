#!/usr/bin/env bash
# Makes what cluster.yaml names, once an account and region:  deploy/aws.sh REGION BUCKET
# A bucket that only this account reads, a security group that lets in ssh from this machine's address alone, and the
# role of the nodes: the bucket for all, instances for the head's autoscaler. Needs the AWS command line, signed in.
set -euo pipefail

region=$1 bucket=$2 name=negatives-study
export AWS_DEFAULT_REGION="$region"
account=$(aws sts get-caller-identity --query Account --output text)

aws s3 mb "s3://$bucket" >/dev/null
aws s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
    BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true

vpc=$(aws ec2 describe-vpcs --filters Name=is-default,Values=true --query 'Vpcs[0].VpcId' --output text)
group=$(aws ec2 create-security-group --group-name "$name" --description "$name" --vpc-id "$vpc" \
    --query GroupId --output text)
address=$(curl --silent --fail https://checkip.amazonaws.com)
aws ec2 authorize-security-group-ingress --group-id "$group" --protocol tcp --port 22 --cidr "$address/32" >/dev/null
aws ec2 authorize-security-group-ingress --group-id "$group" --protocol all --source-group "$group" >/dev/null

# The account's, whatever the region: made before, or now.
aws iam create-service-linked-role --aws-service-name spot.amazonaws.com >/dev/null 2>&1 || true
if ! aws iam get-role --role-name "$name" >/dev/null 2>&1; then
    aws iam create-role --role-name "$name" --assume-role-policy-document '{"Version": "2012-10-17", "Statement":
        [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}' >/dev/null
    aws iam create-instance-profile --instance-profile-name "$name" >/dev/null
    aws iam add-role-to-instance-profile --instance-profile-name "$name" --role-name "$name"
fi
aws iam put-role-policy --role-name "$name" --policy-name "$bucket" --policy-document '{"Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": "arn:aws:s3:::'"$bucket"'"},
    {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
     "Resource": "arn:aws:s3:::'"$bucket"'/*"},
    {"Effect": "Allow", "Resource": "*", "Action": ["ec2:Describe*", "ec2:RunInstances", "ec2:CreateTags",
     "ssm:GetParameters"]},
    {"Effect": "Allow", "Resource": "*", "Action": ["ec2:TerminateInstances", "ec2:StopInstances"],
     "Condition": {"StringEquals": {"ec2:ResourceTag/ray-cluster-name": "'"$name"'"}}},
    {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::'"$account"':role/'"$name"'"}]}'

echo "cluster.yaml:        region: $region, SecurityGroupIds: [$group], IamInstanceProfile: {Name: $name}"
echo "deploy/cluster.env:  STUDY_STORAGE=s3://$bucket/runs"
