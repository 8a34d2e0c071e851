#!/bin/sh
# deploy-on-push: gets a GitHub push on STDIN and writes the deployed commit to the file deployed.txt.
# Replace the last step with your own: git pull, make, a restart.
set -eu
export LC_ALL=C

push=$(cat)
field() {
    printf '%s' "$push" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1
}

commit=$(field after)
case $commit in
    '' | *[!0-9a-f]*)
        echo "deploy-on-push: STDIN is no push of GitHub" >&2
        exit 1
        ;;
esac

echo "$commit" > deployed.txt
echo "deployed $commit of $(field full_name)"
