# Bash completion of skerry. Install as /usr/share/bash-completion/completions/skerry, or source it.
# shellcheck shell=bash

_skerry() {
  local cur prev command='' sub='' word i
  COMPREPLY=()
  cur=${COMP_WORDS[COMP_CWORD]}
  prev=${COMP_WORDS[COMP_CWORD-1]}
  local global='--help --version --edge --url --data --socket --token-file'

  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      --url|--data|--socket|--token-file|--site|--host|--reason|--count|--from|--ttl|-o|--output|--time|--start|--end|--step|--timeout|--interval|--for|--kind)
        ((i++)) ;;
      --edge) [[ $command == invite ]] && ((i++)) ;; # of `invite` it has a value
      -*) ;;
      *)
        if [[ -z $command ]]; then command=$word; elif [[ -z $sub ]]; then sub=$word; fi ;;
    esac
  done

  case $prev in
    -o|--output)
      word='table json'
      [[ $command == query ]] && word='auto table plot json csv'
      mapfile -t COMPREPLY < <(compgen -W "$word" -- "$cur")
      return ;;
    --kind) mapfile -t COMPREPLY < <(compgen -W 'auto edge cloud' -- "$cur"); return ;;
    --data) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    --socket|--token-file|--from) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    --edge) [[ $command == invite ]] && return ;;
    --url|--site|--host|--reason|--count|--ttl|--time|--start|--end|--step|--timeout|--interval|--for) return ;;
  esac

  case $command in
    '') word="$global invite sites hosts loss completeness query status check version" ;;
    invite) word='--site --count --from --ttl --edge --output --help' ;;
    sites)
      if [[ $sub == revoke ]]; then word='--output --help'; else word='revoke --output --help'; fi ;;
    hosts) word='--site --output --help' ;;
    loss)
      if [[ $sub == retract ]]; then word='--start --end --reason --host --output --help'
      else word='retract --site --host --start --end --output --help'; fi ;;
    completeness) word='--site --host --start --end --output --help' ;;
    query) word='--time --start --end --step --timeout --output --help' ;;
    status) word='--watch --interval --for --output --help' ;;
    check)
      if [[ $sub == config && $cur != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
      fi
      if [[ $sub == config ]]; then word='--kind --help'; else word='config --help'; fi ;;
    *) word='--help' ;;
  esac
  [[ $cur == -* && -n $command ]] && word="$word --url --data --socket --token-file"
  mapfile -t COMPREPLY < <(compgen -W "$word" -- "$cur")
}
complete -o filenames -F _skerry skerry
