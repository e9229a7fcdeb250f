/* The least that a wrapper can do: it executes its arguments, and nothing else. Without any it does nothing. */
#include <unistd.h>

int main(int count, char **words)
{
    if (count > 1)
        return execv(words[1], words + 1);
    return 0;
}
