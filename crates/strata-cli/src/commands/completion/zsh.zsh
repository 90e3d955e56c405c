#compdef PROGRAM
# Completion of PROGRAM for zsh.
_PROGRAM() {
    local line
    local -a answers
    for line in "${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2> /dev/null)}"; do
        if [[ $line == :files* ]]; then
            _files
        elif [[ -n $line ]]; then
            answers+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        fi
    done
    (( $#answers )) && _describe 'PROGRAM' answers
}
compdef _PROGRAM PROGRAM
