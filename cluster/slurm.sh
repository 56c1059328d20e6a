#!/usr/bin/env bash
# A Ray cluster inside a Slurm allocation, and a command on it:
#   sbatch cluster/slurm.sh python jobs/nas_hecktor.py --data-root /data/hecktor2021 --gpus-per-trial 1
# Without a command the cluster waits for `ray job submit` until the allocation ends; see docs/cluster.md.
#SBATCH --job-name=branchpoint
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --no-kill
# --requeue and the study's own memory: an allocation that was taken away is followed by another that goes on.
# --no-kill: a node that is lost takes its runs with it, not the allocation.
set -euo pipefail

: "${SLURM_JOB_ID:?submit this file with sbatch}"
[ -f .venv/bin/activate ] && . .venv/bin/activate

# Ports and folders of its own, as other jobs may share a node; short, as socket paths are limited.
port=$((20000 + SLURM_JOB_ID % 20000))
folder="${TMPDIR:-/tmp}/ray-$SLURM_JOB_ID"
mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head="${hosts[0]}"
# HEAD_ADDRESS picks a network, such as the address of the fast one.
address="${HEAD_ADDRESS:-$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address)}"
address="${address%% *}"

# Whoever can reach the ports needs this token. It lies in the home folder, readable by its owner alone.
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"
ray get-auth-token --generate > /dev/null

steps=()
finish() {
  trap - EXIT TERM INT
  [ ${#steps[@]} -eq 0 ] || kill "${steps[@]}" 2> /dev/null || true
  wait || true
  srun --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 rm -rf "$folder" || true
}
trap finish EXIT
trap 'exit 143' TERM INT

size="--num-cpus=$SLURM_CPUS_PER_TASK"
# The dashboard and the job server stay on the head's loopback: reach them through SSH.
srun --nodes=1 --ntasks=1 --nodelist="$head" ray start --head --block --node-ip-address="$address" --port="$port" \
  --dashboard-host=127.0.0.1 --temp-dir="$folder" "$size" &
steps+=($!)
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  others=$((SLURM_JOB_NUM_NODES - 1))
  srun --nodes="$others" --ntasks="$others" --exclude="$head" --no-kill --kill-on-bad-exit=0 \
    ray start --block --address="$address:$port" --temp-dir="$folder" "$size" &
  steps+=($!)
fi

export RAY_ADDRESS="$address:$port"
joined() {
  python -c 'import ray; ray.init(log_to_driver=False, logging_level=40); print(sum(n["Alive"] for n in ray.nodes()))' \
    2> /dev/null || echo 0
}
for _ in $(seq 60); do
  nodes=$(joined)
  [ "$nodes" -ge "$SLURM_JOB_NUM_NODES" ] && break
  sleep 5
done
echo "$nodes of $SLURM_JOB_NUM_NODES nodes have joined the cluster at $RAY_ADDRESS"
[ "$nodes" -gt 0 ] || { echo "Ray did not start: see the logs in $folder on $head" >&2; exit 1; }

if [ $# -gt 0 ]; then
  # A signal comes through at once only to a script that waits, not to one that runs a command.
  "$@" &
  steps+=($!)
  wait $!
else
  echo "submit with: ssh -L 8265:127.0.0.1:8265 $head, and RAY_AUTH_MODE=token ray job submit" \
    "--address http://127.0.0.1:8265 --working-dir . -- python jobs/nas_hecktor.py"
  wait
fi
