/* Answers every request with a redirect to $destination; listens on $PORT, as a program of fwatchdog's http mode. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void) {
    const char *destination = getenv("destination"), *port = getenv("PORT");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons(port ? atoi(port) : 8082);
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) {
        perror("cannot listen");
        return 1;
    }
    for (;;) {
        char request[65536], answer[1024];
        int connection = accept(listener, NULL, NULL);
        size_t length = 0;
        ssize_t more = 0;
        /* The head is enough: the body of a test's request is small, and nothing in it matters. */
        do {
            length += (size_t)more;
            request[length] = 0;
        } while (!strstr(request, "\r\n\r\n") && (more = read(connection, request + length, sizeof request - 1 - length)) > 0);
        int size = snprintf(answer, sizeof answer,
            "HTTP/1.1 302 Found\r\nLocation: %.800s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            destination ? destination : "https://www.openfaas.com/");
        if (write(connection, answer, (size_t)size) < 0)
            perror("cannot answer");
        close(connection);
    }
}
