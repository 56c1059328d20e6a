#!/usr/bin/env bash
# A Ray cluster inside a Slurm allocation, and a command on it:
#   sbatch cluster/slurm.sh python jobs/nas_hecktor.py --data-root /data/hecktor2021 --gpus-per-trial 1
# Without a command the cluster waits for `ray job submit` until the allocation ends; see docs/how-to/cluster.md.
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

# Ports and folders of its own, as other jobs may share a node: above those of Ray's workers, below those that Linux
# gives away. The folder's name is short, as socket paths are limited.
port=$((20000 + SLURM_JOB_ID % 3000 * 4))
dashboard=$((port + 1))
folder="${TMPDIR:-/tmp}/ray-$SLURM_JOB_ID"
# The head runs where this script does: the command needs a part of Ray beside it.
head="$SLURMD_NODENAME"
address_for_others() { # Debian's hosts have a loopback address for their own name.
  local found
  for found in $(hostname --ip-address) $(hostname --all-ip-addresses); do
    [[ $found == 127.* || $found == *:* ]] || { echo "$found"; return; }
  done
  echo "$head has no IPv4 address for others: set HEAD_ADDRESS" >&2
  return 1
}
# HEAD_ADDRESS picks a network, such as the address of the fast one.
address="${HEAD_ADDRESS:-$(address_for_others)}"

# Whoever can reach the ports needs this token. It lies in the home folder, readable by its owner alone.
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"
export RAY_ADDRESS="$address:$port"
(umask 077; ray get-auth-token --generate > /dev/null)

# On each node: Ray, and its folder goes with it, also when the allocation ends and no new step can remove it. The
# signal reaches all of Ray's processes, and "ray start" would wait a minute for those that ended before it.
# "ray start" gives up after half a minute, so on a busy machine it is tried three times.
on_node='folder="$1"; shift; ended=""
stop() { ended=yes; kill $ray 2> /dev/null; (sleep 5; kill -9 $ray 2> /dev/null) & }
for _ in 1 2 3; do
  rm -rf "$folder"
  ray start --block --temp-dir="$folder" "$@" & ray=$!
  trap stop TERM
  while wait $ray; code=$?; kill -0 $ray 2> /dev/null; do :; done
  [ -z "$ended" ] || break
done
for _ in 1 2 3 4 5; do rm -rf "$folder" && break; sleep 1; done
exit $code'

steps=()
command=""
start() { # start [OPTION OF srun]... -- [OPTION OF ray start]...
  local place=()
  while [ "$1" != -- ]; do place+=("$1"); shift; done
  shift
  # --overlap: the command may have steps of its own beside these.
  srun --overlap --no-kill --kill-on-bad-exit=0 "${place[@]}" \
    bash -c "$on_node" ray-node "$folder" --num-cpus="$SLURM_CPUS_PER_TASK" \
    --dashboard-agent-listen-port=$((port + 2)) "$@" &
  steps+=($!)
}
finish() {
  trap - EXIT
  trap '' TERM INT
  [ -z "$command" ] || kill "$command" 2> /dev/null || true
  [ ${#steps[@]} -gt 0 ] || return 0
  # To what runs in the steps: at SIGTERM srun itself would kill its step at once, and Ray's folders stayed.
  scancel --quiet --signal=TERM "$SLURM_JOB_ID" || true
  for _ in $(seq 30); do
    kill -0 "${steps[@]}" 2> /dev/null || return 0
    sleep 1
  done
  kill "${steps[@]}" 2> /dev/null || true
}
trap finish EXIT
trap 'exit 143' TERM INT

count='import ray, sys, time
ray.init(log_to_driver=False, logging_level=40)
for _ in range(20):
    nodes = sum(node["Alive"] for node in ray.nodes())
    if nodes >= int(sys.argv[1]):
        break
    time.sleep(1)
print(nodes)'
nodes=0
wait_for() { # wait_for NODES: until so many have joined, five minutes at most
  local end=$((SECONDS + 300))
  while [ $SECONDS -lt $end ] && kill -0 "${steps[0]}" 2> /dev/null; do
    nodes=$(python -c "$count" "$1" 2> /dev/null || echo 0)
    [ "$nodes" -lt "$1" ] || return 0
    sleep 1
  done
}
# The dashboard and the job server stay on the head's loopback: reach them through SSH.
start --nodes=1 --ntasks=1 --nodelist="$head" -- --head --node-ip-address="$address" --port="$port" \
  --dashboard-host=127.0.0.1 --dashboard-port="$dashboard" --ray-client-server-port=$((port + 3))
wait_for 1
[ "$nodes" -gt 0 ] || { echo "Ray did not start on $head: see above" >&2; exit 1; }
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  # Only now: a node that does not find the head gives up.
  others=$((SLURM_JOB_NUM_NODES - 1))
  start --nodes="$others" --ntasks="$others" --exclude="$head" -- --address="$RAY_ADDRESS"
  wait_for "$SLURM_JOB_NUM_NODES"
fi
echo "$nodes of $SLURM_JOB_NUM_NODES nodes have joined the cluster at $RAY_ADDRESS"

if [ $# -gt 0 ]; then
  # A signal comes through at once only to a script that waits, not to one that runs a command.
  "$@" &
  command=$!
  wait $command
else
  echo "submit with: ssh -L 8265:127.0.0.1:$dashboard $head, and RAY_AUTH_MODE=token ray job submit" \
    "--address http://127.0.0.1:8265 --working-dir . -- python jobs/nas_hecktor.py"
  wait
fi
